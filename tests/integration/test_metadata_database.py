"""Airflow's own database with access tokens: mistakes are said by the connection, and a whole Airflow runs on it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from tests.airflow_deployment import AirflowDeployment
from tests.airflow_program import Airflow, variables_of
from tests.postgresql import PostgresqlServer, postgresql_server

ROLE, DATABASE = "airflow", "airflow"
OPTION = "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DATABASE_{}"

# Whatever is wrong, Airflow can be imported; the connection says what it is.
CONNECT = """
import json
import os
import sys

from airflow import settings
from sqlalchemy import create_engine, exc

from airflow_azure_wi import airflow_compat

for url, variables in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ.update(variables)
    airflow_compat.start_over()
    try:
        create_engine(url).connect()
        said = "connected"
    except exc.OperationalError as error:
        said = str(error)
    os.environ.clear()
    os.environ.update(before)
    print(json.dumps({"said": said}))
"""


@pytest.fixture(scope="module")
def airflow(
    running_azure: OfflineAzure, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Airflow:
    postgresql.create_role(ROLE, running_azure.identity, DATABASE)
    home = tmp_path_factory.mktemp("airflow")
    return Airflow(variables_of(home, home) | postgresql.of_airflow(running_azure, ROLE, DATABASE))


def attempts(airflow: Airflow, *cases: tuple[str, dict[str, str]], **variables: str) -> list[str]:
    """Connect to URLs, each with further environment variables, in one process; return what was said."""
    printed = airflow.python(CONNECT, json.dumps(cases), **variables)
    assert "eyJ" not in printed
    lines = [json.loads(line)["said"] for line in printed.splitlines() if line.startswith('{"said"')]
    return [" ".join(said.split()) for said in lines]


MISTAKES = (
    ({"AZURE_CLIENT_ID": ""}, "clientId is missing"),
    ({"AZURE_CLIENT_ID": ""}, "set [azure_workload_identity] database_client_id and database_tenant_id, or AZURE_"),
    ({OPTION.format("TENANT_ID"): "x y"}, "tenantId is 'x y'"),
    (
        {OPTION.format("CLIENT_ID"): "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.x"},
        "clientId is something that looks like a t",
    ),
    ({"AZURE_FEDERATED_TOKEN_FILE": "/nowhere"}, "'/nowhere' (from the environment variable AZURE_FEDERATED_TOKEN"),
)


def test_a_mistake_is_said_by_the_connection(airflow: Airflow, postgresql: PostgresqlServer) -> None:
    url = postgresql.url(ROLE, DATABASE)
    before = len(postgresql.sign_ins)
    for (_, expected), said in zip(MISTAKES, attempts(airflow, *((url, each) for each, _ in MISTAKES)), strict=True):
        assert said.startswith("(psycopg2.OperationalError) no access token for Airflow's database")
        assert expected in said
    [said] = attempts(airflow, (url, {}), **{OPTION.format("SIGN_IN"): "maybe"})
    assert "[azure_workload_identity] database_sign_in is 'maybe', expected True or False." in said
    assert len(postgresql.sign_ins) == before


def test_a_token_is_sent_over_tls_alone(airflow: Airflow, postgresql: PostgresqlServer) -> None:
    url = postgresql.url(ROLE, DATABASE)
    silent = url.partition("?")[0]
    prefers, disabled, required = attempts(
        airflow,
        (postgresql.url(ROLE, DATABASE, sslmode="prefer"), {}),
        (silent, {"PGSSLMODE": "disable"}),
        (silent, {}),
    )
    assert "sslmode='prefer', and an access token is sent only over TLS. Say sslmode=require there" in prefers
    assert "sslmode='disable', and an access token is sent only over TLS" in disabled
    assert required == "connected"


def test_users_that_no_setting_names_get_no_token(
    airflow: Airflow, postgresql: PostgresqlServer, running_azure: OfflineAzure
) -> None:
    postgresql.create_role("celery", running_azure.identity, "celery")
    own, celery = postgresql.url(ROLE, DATABASE), postgresql.url("celery", "celery")
    backend = {"AIRFLOW__CELERY__RESULT_BACKEND": f"db+{celery.replace('+psycopg2', '')}"}
    other = postgresql.url("somebody", DATABASE)
    said = attempts(airflow, (own, {}), (celery, {}), (other, {}), **backend)
    assert said[:2] == ["connected", "connected"]
    assert "no password supplied" in said[2]
    assert "somebody" not in {each.role for each in postgresql.sign_ins}


def test_the_options_override_the_identity_of_the_pod(
    airflow: Airflow, postgresql: PostgresqlServer, running_azure: OfflineAzure
) -> None:
    other = ManagedIdentity(tenant_id=running_azure.identity.tenant_id)
    for trusted in running_azure.identity.federated_credentials:
        other.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
    running_azure.entra.register(other)
    pod = {"AZURE_CLIENT_ID": other.client_id, "AZURE_TENANT_ID": other.tenant_id}
    own = running_azure.identity
    options = {OPTION.format("CLIENT_ID"): own.client_id, OPTION.format("TENANT_ID"): own.tenant_id}
    url = postgresql.url(ROLE, DATABASE)
    of_pod, of_options = attempts(airflow, (url, pod), (url, pod | options))
    assert "authentication failed" in of_pod
    assert of_options == "connected"
    assert [each.refused for each in postgresql.sign_ins[-2:]] == [
        "the token is for another principal than the role",
        None,
    ]


class TestAWholeAirflow:
    """Its access tokens live shorter than its connections, and its federated token rotates meanwhile."""

    LIFETIME = 60.0

    @pytest.fixture
    def azure(self, tmp_path: Path) -> Iterator[OfflineAzure]:
        with OfflineAzure(
            tmp_path / "azure", with_storage=False, token_lifetime=600, access_token_lifetime=self.LIFETIME
        ) as azure:
            yield azure

    @pytest.fixture
    def database(self, azure: OfflineAzure) -> Iterator[PostgresqlServer]:
        with postgresql_server(azure) as server:
            server.create_role(ROLE, azure.identity, DATABASE)
            yield server

    @pytest.fixture
    def variables(self, azure: OfflineAzure, database: PostgresqlServer, tmp_path: Path) -> dict[str, str]:
        home, dags = tmp_path / "airflow", tmp_path / "dags"
        dags.mkdir()
        (dags / "hello.py").write_text(DAG)
        settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_RECYCLE": "5", "AIRFLOW__CORE__PARALLELISM": "2"}
        return variables_of(home, dags) | database.of_airflow(azure, ROLE, DATABASE) | settings

    @pytest.mark.timeout(900)
    def test_runs_through_rotation_and_expiry(
        self, variables: dict[str, str], azure: OfflineAzure, database: PostgresqlServer
    ) -> None:
        Airflow(variables).run("db", "migrate")
        with AirflowDeployment(variables, {}) as airflow:
            assert run_of(airflow, "first") == "success", airflow.logs()
            before = tokens_of(database)
            azure.projected_token.rotate()
            airflow.wait_for("token of its own after the expiry", lambda: len(tokens_of(database) - before) > 2)
            assert run_of(airflow, "second") == "success", airflow.logs()
            said = airflow.logs()
        assert "eyJ" not in said
        assert "no access token for Airflow's database" not in said
        assert {each.refused for each in database.sign_ins} == {None}


DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def hello():
    @task
    def say():
        return "hello"

    say()

hello()
"""


def run_of(airflow: AirflowDeployment, name: str) -> str:
    """Run the DAG once, and return how that ended."""
    runs = "dags/hello/dagRuns"
    airflow.wait_for("DAG", lambda: airflow.get("dags/hello"))
    airflow.wait_for("run", lambda: airflow.post(runs, {"dag_run_id": name, "logical_date": None}))
    return str(
        airflow.wait_for(
            "end of the run",
            lambda: {"success": "success", "failed": "failed"}.get(state_of(airflow, f"{runs}/{name}")),
        )
    )


def state_of(airflow: AirflowDeployment, run: str) -> str:
    found = airflow.get(run)
    return str(found["state"]) if found else ""


def tokens_of(database: PostgresqlServer) -> set[str]:
    """Return the ids of the access tokens that signed in so far."""
    return {each.claims["uti"] for each in database.sign_ins}
