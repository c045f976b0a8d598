"""Recipes for databases and platforms, each in front of a stand-in that looks at the token."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.recipes.conftest import RunRecipes
from tests.recipes.postgresql_server import PostgresqlServer, SignIn
from tests.recorder import Answer, Recorder

STAND_INS = Path(__file__).parent / "stand_ins"
POSTGRESQL = "acct.postgres.database.azure.com"
SNOWFLAKE = "api://11111111-2222-3333-4444-555555555555"
DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
RESOURCES = [
    "https://database.windows.net",
    "https://ossrdbms-aad.database.windows.net",
    SNOWFLAKE,
    DATABRICKS,
    "https://cognitiveservices.azure.com",
]
ANSWERS = (
    Answer("POST /api/2.2/jobs/run-now", {"run_id": 7}),
    Answer(
        "GET /api/2.2/jobs/runs/get", {"run_id": 7, "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}}
    ),
    Answer(
        "POST /openai/deployments/gpt-4o/chat/completions",
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "It runs workflows."}}]},
    ),
)


@pytest.fixture
def postgresql(azure: OfflineAzure) -> Iterator[PostgresqlServer]:
    with PostgresqlServer(azure._certificates.issue("postgresql", POSTGRESQL)) as server:
        yield server


def postgresql_variables(azure: OfflineAzure, server: PostgresqlServer) -> dict[str, str]:
    """The connection that the recipe shows; and what leads psycopg to the stand-in under the real name."""
    connection = {
        "conn_type": "postgres",
        "host": POSTGRESQL,
        "port": server.port,
        "login": "airflow",
        "schema": "sales",
        "extra": {"iam": True, "azure_conn_id": "azure_wi", "sslmode": "verify-full"},
    }
    return {
        "AIRFLOW_CONN_AZURE_POSTGRESQL": json.dumps(connection),
        "PGSSLROOTCERT": azure.environment()["SSL_CERT_FILE"],
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": str(server.port),
    }


def test_databases_and_platforms(
    run_recipes: RunRecipes, azure: OfflineAzure, recorder: Recorder, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    azure.entra.register_resource(SNOWFLAKE)
    recorder.answers = ANSWERS
    seen = {"SEEN_BY_PYODBC": str(tmp_path / "pyodbc.json"), "SEEN_BY_SNOWFLAKE": str(tmp_path / "snowflake.json")}
    recipes = ("azure_sql", "postgresql", "snowflake", "databricks", "azure_openai")
    runs = run_recipes(
        *(f"recipe_{name}" for name in recipes),
        PYTHONPATH=str(STAND_INS),
        **seen,
        **postgresql_variables(azure, postgresql),
    )
    assert {name: runs[f"recipe_{name}"].returned for name in recipes} == {
        "azure_sql": ["airflow"],
        "postgresql": [[("airflow",)], [("airflow",)]],
        "snowflake": ["AIRFLOW"],
        "databricks": ["SUCCESS"],
        "azure_openai": ["It runs workflows."],
    }

    by_pyodbc, by_snowflake = (json.loads(Path(file).read_text()) for file in seen.values())
    assert by_pyodbc["connection_string"].startswith("Driver={ODBC Driver 18 for SQL Server};Server=tcp:acct.database.")
    assert (by_snowflake["account"], by_snowflake["authenticator"]) == ("acct.west-europe.azure", "oauth")
    assert is_token(by_pyodbc["claims"], "https://database.windows.net", azure)
    assert is_token(by_snowflake["claims"], SNOWFLAKE, azure)
    assert [seen_by_postgresql(sign_in, azure) for sign_in in postgresql.sign_ins] == [("airflow", "sales", True)] * 2
    assert seen_by(recorder, azure) == {
        ("adb-1234567890123456.7.azuredatabricks.net", "/.well-known/databricks-config", None),
        ("adb-1234567890123456.7.azuredatabricks.net", "/api/2.2/jobs/run-now", DATABRICKS),
        ("adb-1234567890123456.7.azuredatabricks.net", "/api/2.2/jobs/runs/get", DATABRICKS),
        (
            "acct.openai.azure.com",
            "/openai/deployments/gpt-4o/chat/completions",
            "https://cognitiveservices.azure.com",
        ),
    }

    exchanges = [(exchange.scope, exchange.error_code) for exchange in azure.entra.exchanges]
    assert exchanges == [(f"{resource}/.default", None) for resource in RESOURCES], "one exchange for each scope"
    assert not any("eyJ" in run.said for run in runs.values()), "no token is ever printed"


def is_token(claims: dict[str, Any], resource: str, azure: OfflineAzure) -> bool:
    return (claims["aud"], claims["appid"]) == (resource, azure.identity.client_id)


def seen_by_postgresql(sign_in: SignIn, azure: OfflineAzure) -> tuple[str, str, bool]:
    is_right = is_token(sign_in.claims, "https://ossrdbms-aad.database.windows.net", azure)
    return sign_in.user, sign_in.database, is_right and sign_in.server_name == POSTGRESQL


def seen_by(recorder: Recorder, azure: OfflineAzure) -> set[tuple[str, str, str | None]]:
    """Host, path and audience of what arrived; the tokens are all of the identity."""
    found = recorder.requests
    assert {request.claims["appid"] for request in found if request.claims} == {azure.identity.client_id}
    return {(request.host, request.path, request.claims and request.claims["aud"]) for request in found}
