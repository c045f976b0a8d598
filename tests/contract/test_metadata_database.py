"""Airflow on a PostgreSQL that lets nobody in without an access token: no password is configured anywhere."""

import re

import pytest
import sqlalchemy

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import Airflow, variables_of, without_recipes
from tests.postgresql import PostgresqlServer

ROLE, DATABASE = "airflow-identity", "metadata"

# Psycopg 3 takes SQLAlchemy 2.
DRIVERS = ("psycopg2",) if sqlalchemy.__version__.startswith("1.") else ("psycopg2", "psycopg")

# Who signs in: Airflow's two engines, and another one such as that of Celery's result backend.
USERS = """
import asyncio
import sys

from airflow import settings
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

QUERY = text("SELECT current_user || ' ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")

async def main():
    # Airflow 2.11 has none.
    url = settings.SQL_ALCHEMY_CONN.replace("psycopg2", "asyncpg")
    engine = getattr(settings, "async_engine", None) or create_async_engine(url)
    async with engine.connect() as connection:
        print("async", engine.dialect.driver, (await connection.execute(QUERY)).scalar(), repr(engine.url))
    await engine.dispose()

with settings.engine.connect() as connection:
    print("sync", settings.engine.dialect.driver, connection.execute(QUERY).scalar())
with create_engine(sys.argv[1]).connect() as connection:
    print("other", connection.execute(QUERY).scalar())
asyncio.run(main())
print(settings.engine.url)
"""


@pytest.fixture(scope="module")
def airflow(
    running_azure: OfflineAzure, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Airflow:
    """An Airflow whose database was made with access tokens alone."""
    postgresql.create_role(ROLE, running_azure.identity, DATABASE)
    variables = variables_of(
        tmp_path_factory.mktemp("airflow"), without_recipes(tmp_path_factory.mktemp("dags"))
    ) | postgresql.of_airflow(running_azure, ROLE, DATABASE)
    airflow = Airflow(variables)
    said = airflow.run("db", "migrate")
    assert "eyJ" not in said.stdout + said.stderr
    return airflow


def test_commands_use_the_database(airflow: Airflow, postgresql: PostgresqlServer) -> None:
    airflow.run("connections", "add", "somewhere", "--conn-type", "http", "--conn-host", "example.com")
    assert postgresql.run("SELECT conn_id FROM connection", database=DATABASE).splitlines() == ["somewhere"]
    assert {(each.role, each.refused) for each in postgresql.sign_ins if each.role == ROLE} == {(ROLE, None)}


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_engine_gets_a_token_and_tls(
    driver: str, airflow: Airflow, postgresql: PostgresqlServer, running_azure: OfflineAzure
) -> None:
    trusted = running_azure.environment()["SSL_CERT_FILE"]
    verified = postgresql.url(ROLE, DATABASE, sslmode="verify-full", sslrootcert=trusted).replace("psycopg2", driver)
    other = postgresql.url(ROLE, DATABASE)
    settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": verified}
    if driver == "psycopg":
        settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = verified
    printed = airflow.python(USERS, other, **settings)
    for engine in (f"sync {driver}", "other"):
        assert f"{engine} {ROLE} true" in printed
    # What Airflow chooses by itself is psycopg 3 from 3.4 on, where that is installed.
    asynchronous = "psycopg" if driver == "psycopg" else "(asyncpg|psycopg)"
    assert re.search(rf"async {asynchronous} {ROLE} true", printed), printed
    assert "eyJ" not in printed


def test_no_token_is_in_the_configuration(airflow: Airflow) -> None:
    shown = airflow.run("config", "get-value", "database", "sql_alchemy_conn").stdout
    assert f"{ROLE}@localhost" in shown
    assert "eyJ" not in shown + airflow.run("config", "list").stdout
