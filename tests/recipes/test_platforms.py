"""Recipes for databases, platforms and command-line tools, each in front of a stand-in that looks at the token."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi.testing import OfflineAzure
from airflow_azure_wi.testing.entra import Exchange
from tests.access_tokens import SignIn
from tests.airflow_program import Airflow
from tests.postgresql import PostgresqlServer, postgresql_server
from tests.recipes.conftest import Run, run_dags
from tests.recorder import Answer, Recorded, Recorder

STAND_INS = Path(__file__).parent / "stand_ins"
RECIPES = (
    "recipe_azure_sql",
    "recipe_postgresql",
    "recipe_dbt",
    "recipe_snowflake",
    "recipe_databricks",
    "recipe_azure_openai",
    "recipe_azcopy",
    "recipe_azure_cli",
    "recipe_terraform",
)

AZURE_SQL = "https://database.windows.net"
POSTGRESQL = "https://ossrdbms-aad.database.windows.net"
SNOWFLAKE = "api://11111111-2222-3333-4444-555555555555"
DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
OPENAI = "https://cognitiveservices.azure.com"
STORAGE = "https://storage.azure.com"
MANAGEMENT = "https://management.azure.com"

POSTGRESQL_HOST = "acct.postgres.database.azure.com"
DATABRICKS_HOST = "adb-1234567890123456.7.azuredatabricks.net"
WORDS = {"copy", "login", "group", "list", "init", "apply"}
RUN_PAGE = f"https://{DATABRICKS_HOST}/#job/42/run/7"
DONE = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
ANSWER = {"role": "assistant", "content": "It runs workflows."}
ANSWERS = (
    Answer("POST /api/2.2/jobs/run-now", {"run_id": 7}),
    Answer("GET /api/2.2/jobs/runs/get", {"run_id": 7, "run_page_url": RUN_PAGE, "state": DONE}),
    Answer("POST /openai/deployments/gpt-4o/chat/completions", {"choices": [{"index": 0, "message": ANSWER}]}),
)


@dataclass(frozen=True)
class Ran:
    """All recipes, run by one Airflow, and what the stand-ins saw meanwhile."""

    runs: dict[str, Run]
    exchanges: list[Exchange]
    requests: list[Recorded]
    sign_ins: list[SignIn]
    directory: Path

    def seen_by(self, stand_in: str) -> Any:
        """What a stand-in wrote down: a JSON document in each line."""
        return [json.loads(line) for line in (self.directory / f"{stand_in}.jsonl").read_text().splitlines()]

    def started(self, program: str) -> list[tuple[list[str], Any]]:
        """With which arguments a program was started, and the claims of the token that it had each time."""
        return [(arguments, claims) for name, arguments, claims in self.seen_by("programs") if name == program]


@pytest.fixture(scope="module")
def ran(
    running_azure: OfflineAzure,
    running_recorder: Recorder,
    airflow: Airflow,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    directory = tmp_path_factory.mktemp("stand-ins")
    running_azure.entra.clear()
    running_azure.entra.register_resource(SNOWFLAKE)
    running_recorder.requests.clear()
    running_recorder.answers = ANSWERS
    with postgresql_server(running_azure, POSTGRESQL_HOST) as postgresql:
        postgresql.create_role("airflow", running_azure.identity, "sales")
        variables = (
            running_azure.environment()
            | connections(running_azure, postgresql)
            | led_to(postgresql, running_azure)
            | stand_ins(directory, airflow)
        )
        runs = run_dags(airflow, RECIPES, variables)
    return Ran(
        runs, running_azure.entra.exchanges, list(running_recorder.requests), list(postgresql.sign_ins), directory
    )


def connections(azure: OfflineAzure, postgresql: PostgresqlServer) -> dict[str, str]:
    """Those that the recipes name, as they say; but for the port."""
    identity = {"conn_type": "azure_workload_identity", "extra": azure.identity_json()}
    database = {
        "conn_type": "postgres",
        "host": POSTGRESQL_HOST,
        "port": postgresql.port,
        "login": "airflow",
        "schema": "sales",
        "extra": {"iam": True, "azure_conn_id": "azure_wi", "sslmode": "verify-full"},
    }
    return {"AIRFLOW_CONN_AZURE_WI": json.dumps(identity), "AIRFLOW_CONN_AZURE_POSTGRESQL": json.dumps(database)}


def led_to(postgresql: PostgresqlServer, azure: OfflineAzure) -> dict[str, str]:
    """What leads PostgreSQL's clients to the server under the real name, which its certificate has to hold."""
    trusted = azure.environment()["SSL_CERT_FILE"]
    return {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(postgresql.port), "PGSSLROOTCERT": trusted}


def stand_ins(directory: Path, airflow: Airflow) -> dict[str, str]:
    """Programs in front of the PATH, modules in front of those that are installed, and where they write."""
    programs = directory / "bin"
    programs.mkdir()
    for name in ("azcopy", "az", "terraform", "dbt"):
        (programs / name).write_text(f"#!{sys.executable}\n{(STAND_INS / 'program.py').read_text()}")
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{airflow.variables['PATH']}",
        "PYTHONPATH": str(STAND_INS),
        "SEEN": str(directory),
    }


@pytest.fixture
def is_of_the_identity(running_azure: OfflineAzure) -> Callable[..., bool]:
    """Whether there are claims, and all are those of an access token of the identity for a resource."""

    def check(found: Iterable[Any], resource: str) -> bool:
        return {(claims["aud"], claims["appid"]) for claims in found} == {(resource, running_azure.identity.client_id)}

    return check


def test_azure_sql(ran: Ran, is_of_the_identity: Callable[..., bool]) -> None:
    assert ran.runs["recipe_azure_sql"].returned == ["airflow"]
    [seen] = ran.seen_by("pyodbc")
    assert seen["connection_string"].startswith(
        "Driver={ODBC Driver 18 for SQL Server};Server=tcp:acct.database.windows"
    )
    assert is_of_the_identity([seen["claims"]], AZURE_SQL)


def test_postgresql(ran: Ran, is_of_the_identity: Callable[..., bool]) -> None:
    assert ran.runs["recipe_postgresql"].returned == [[("airflow",)]], (
        "by psycopg; what operators return is not printed"
    )
    assert [(seen.role, seen.refused) for seen in ran.sign_ins] == [("airflow", None)] * 2
    assert is_of_the_identity([seen.claims for seen in ran.sign_ins], POSTGRESQL)


def test_dbt(ran: Ran, is_of_the_identity: Callable[..., bool]) -> None:
    assert ran.runs["recipe_dbt"].succeeded, ran.runs["recipe_dbt"].said
    started = ran.started("dbt")
    assert [arguments[:3] for arguments, _ in started] == [
        ["run", "--select", "fqn:shop.customers"],
        ["run", "--select", "fqn:shop.orders"],
    ]
    assert is_of_the_identity([claims for _, claims in started], POSTGRESQL)


def test_snowflake(ran: Ran, is_of_the_identity: Callable[..., bool]) -> None:
    assert ran.runs["recipe_snowflake"].returned == ["AIRFLOW"]
    [seen] = ran.seen_by("snowflake")
    assert (seen["account"], seen["authenticator"]) == ("acct.west-europe.azure", "oauth")
    assert is_of_the_identity([seen["claims"]], SNOWFLAKE)


def test_databricks(ran: Ran, is_of_the_identity: Callable[..., bool]) -> None:
    assert ran.runs["recipe_databricks"].returned == [RUN_PAGE]
    asked = [
        request for request in ran.requests if request.host == DATABRICKS_HOST and request.path.startswith("/api/")
    ]
    assert [(request.method, request.path) for request in asked] == [
        ("POST", "/api/2.2/jobs/run-now"),
        ("GET", "/api/2.2/jobs/runs/get"),
    ]
    assert is_of_the_identity([request.claims for request in asked], DATABRICKS)


def test_azure_openai(ran: Ran, is_of_the_identity: Callable[..., bool]) -> None:
    assert ran.runs["recipe_azure_openai"].returned == ["It runs workflows."]
    asked = [request for request in ran.requests if request.host == "acct.openai.azure.com"]
    assert [request.path for request in asked] == ["/openai/deployments/gpt-4o/chat/completions"]
    assert is_of_the_identity([request.claims for request in asked], OPENAI)


@pytest.mark.parametrize(
    ("recipe", "program", "commands", "resource"),
    [
        ("recipe_azcopy", "azcopy", [["copy"]], STORAGE),
        ("recipe_azure_cli", "az", [["login"], ["group", "list"]], MANAGEMENT),
        ("recipe_terraform", "terraform", [["init"], ["apply"]], MANAGEMENT),
    ],
)
def test_tools(
    ran: Ran,
    recipe: str,
    program: str,
    commands: list[list[str]],
    resource: str,
    is_of_the_identity: Callable[..., bool],
) -> None:
    run = ran.runs[recipe]
    assert run.succeeded, run.said
    started = ran.started(program)
    assert [[word for word in arguments if word in WORDS] for arguments, _ in started] == commands
    assert is_of_the_identity([claims for _, claims in started if claims], resource)


def test_a_scope_takes_one_exchange_in_airflow_and_one_in_each_program(ran: Ran) -> None:
    in_airflow = [AZURE_SQL, POSTGRESQL, SNOWFLAKE, DATABRICKS, OPENAI]
    assert [(exchange.scope, exchange.error_code) for exchange in ran.exchanges] == [
        (f"{resource}/.default", None) for resource in [*in_airflow, STORAGE, MANAGEMENT, MANAGEMENT]
    ]


def test_no_token_is_printed(ran: Ran) -> None:
    assert {recipe for recipe, run in ran.runs.items() if "eyJ" in run.said} == set()
