"""Connections of type postgres that name an azure_conn_id, on a PostgreSQL that checks each access token.

The stock hook connects with psycopg 3 where SQLAlchemy 2 is installed, and with psycopg2 otherwise.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from airflow.providers.postgres.hooks.postgres import PostgresHook
from sqlalchemy import text

from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.postgresql import PostgresqlServer

ROLE, DATABASE = "reporting-identity", "reports"
DRIVER = "psycopg2" if sqlalchemy.__version__.startswith("1.") else "psycopg"

Define = Callable[..., PostgresHook]


@pytest.fixture
def define(
    monkeypatch: pytest.MonkeyPatch, workload: OfflineAzure, postgresql: PostgresqlServer, identity: ManagedIdentity
) -> Define:
    """Define the connection of an identity, azure_wi, and one of type postgres; return the hook of the latter."""

    def define_connection(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    def define_database(azure_conn_id: str = "azure_wi") -> PostgresHook:
        extra = {"iam": True, "azure_conn_id": azure_conn_id, "sslmode": "require"}
        fields = {"host": "localhost", "port": postgresql.port, "login": ROLE, "schema": DATABASE}
        define_connection("reports", conn_type="postgres", extra=extra, **fields)
        return PostgresHook(postgres_conn_id="reports")

    define_connection("azure_wi", conn_type="azure_workload_identity", extra=identity.as_json())
    define_connection("storage", conn_type="wasb")
    postgresql.roles.accept(ROLE, identity)
    return define_database


@pytest.fixture(scope="module", autouse=True)
def _role(postgresql: PostgresqlServer, running_azure: OfflineAzure) -> None:
    postgresql.create_role(ROLE, running_azure.identity, DATABASE)


def test_the_hook_signs_in_with_a_token(
    define: Define, postgresql: PostgresqlServer, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    hook = define()
    with caplog.at_level(logging.DEBUG):
        assert [tuple(row) for row in hook.get_records("SELECT current_user")] == [(ROLE,)]
        assert type(hook.get_conn()).__module__.startswith(DRIVER)
    seen = postgresql.sign_ins[-1]
    assert (seen.role, seen.refused, seen.claims["appid"]) == (ROLE, None, identity.client_id)
    assert seen.claims["aud"] == postgresql.roles.AUDIENCE
    assert "eyJ" not in caplog.text


def test_so_does_its_engine_of_sqlalchemy(define: Define, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        engine = define().get_sqlalchemy_engine({"connect_args": {"sslmode": "require"}})
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_user")).scalar() == ROLE
    assert engine.dialect.driver == DRIVER
    assert "eyJ" not in caplog.text + repr(engine)


@pytest.mark.parametrize(
    ("azure_conn_id", "problem"),
    [("not_there", "there is no connection 'not_there'"), ("storage", "connection 'storage' is of type 'wasb'")],
)
def test_an_id_that_names_no_identity_is_an_error_that_names_the_setting(
    azure_conn_id: str, problem: str, define: Define, postgresql: PostgresqlServer
) -> None:
    before = len(postgresql.sign_ins)
    with pytest.raises(IdentityError) as raised:
        define(azure_conn_id).get_conn()
    said = str(raised.value)
    assert said.startswith("azure_conn_id in the extra of connection 'reports' does not describe a workload identity")
    assert problem in said
    assert len(postgresql.sign_ins) == before
