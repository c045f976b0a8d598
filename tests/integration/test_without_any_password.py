"""A whole Airflow with the configuration of without-any-password.md, against parts that take access tokens only."""

import base64
import configparser
import json
import secrets
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import ContainerClient

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from tests.airflow_deployment import AirflowDeployment
from tests.airflow_program import Airflow, variables_of
from tests.docs.pages import DOCS, blocks_of
from tests.federated_token import FederatedToken
from tests.key_vault import KeyVault
from tests.postgresql import PostgresqlServer

PAGE = DOCS / "how-to" / "without-any-password.md"
CLIENT_ID, TENANT_ID = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10", "72f988bf-86f1-41af-91ab-2d7cd011db47"
SERVER, VAULT, ACCOUNT = "airflow-db.postgres.database.azure.com", "airflow-keys.vault.azure.net", "acct"
ROLE, DATABASE = "airflow", "airflow"
# The access tokens for the database live this long, and so do connections.
LIFETIME = 5
WAITING = "New connections to Airflow's database wait"

RUNS = "dags/hello/dagRuns"
DAG = """
from airflow.sdk import Variable, dag, task

@dag(schedule=None)
def hello():
    @task
    def read():
        return Variable.get("greeting")

    @task
    def say(text):
        print("It says:", text)

    say(read())

hello()
"""


def of_page(language: str) -> list[str]:
    return [block.code for block in blocks_of(PAGE) if block.language == language]


def configuration(*blocks: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    for block in blocks:
        parser.read_string(block)
    return parser


def chart_url(connection: dict[str, Any]) -> str:
    """Return what chart/templates/secrets/metadata-connection-secret.yaml makes of data.metadataConnection."""
    where = "{protocol}://{user}:{pass}@{host}:{port}/{db}?sslmode={sslmode}"
    return where.format(**connection)


def test_the_values_of_the_chart_say_the_same() -> None:
    [values] = map(yaml.safe_load, of_page("yaml"))
    own, *_ = map(configuration, of_page("ini"))
    expected = {name: dict(section) for name, section in own.items() if section}
    assert expected.pop("database")["sql_alchemy_conn"].replace("+psycopg2", "") == chart_url(
        values["data"]["metadataConnection"]
    ).replace(":@", "@").replace(":5432", "")
    del expected["core"]["executor"]
    kwargs = json.loads(expected["secrets"].pop("backend_kwargs"))
    assert json.loads(values["config"]["secrets"].pop("backend_kwargs")) == kwargs
    # AZURE_CLIENT_ID and AZURE_TENANT_ID are set by the webhook, or here.
    expected["azure_workload_identity"] |= {"database_client_id": CLIENT_ID, "database_tenant_id": TENANT_ID}
    assert values["config"] == expected
    [connection] = of_page("bash")
    assert [f"{each['name']}={each['value'].strip()}" for each in values["env"]] == shlex.split(connection)


@pytest.fixture
def token(workload: OfflineAzure, tmp_path: Path) -> FederatedToken:
    return FederatedToken(workload, tmp_path / "token")


@pytest.fixture
def database_identity(workload: OfflineAzure, postgresql: PostgresqlServer) -> ManagedIdentity:
    """The identity of the database is another one than that of the connection: its tokens live shorter."""
    identity = ManagedIdentity(tenant_id=workload.identity.tenant_id, access_token_lifetime=LIFETIME)
    for trusted in workload.identity.federated_credentials:
        identity.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
    workload.entra.register(identity)
    postgresql.create_role(ROLE, identity, DATABASE)
    return identity


@pytest.fixture
def vault(workload: OfflineAzure) -> Iterator[KeyVault]:
    vault = KeyVault(workload, workload.identity)
    vault.secrets |= {
        "airflow-variables-greeting": "hello from the vault",
        "airflow-config-fernet-key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "airflow-config-jwt-secret": secrets.token_urlsafe(64),
        "airflow-config-api-secret-key": secrets.token_urlsafe(32),
    }
    with workload.serving(vault.app, VAULT):
        yield vault


@pytest.fixture
def containers(workload: OfflineAzure) -> Iterator[dict[str, ContainerClient]]:
    """The containers that the page names, reached without any of our code."""
    identity = workload.identity
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    url = f"https://{ACCOUNT}.blob.core.windows.net"
    clients = {name: ContainerClient(url, name, credential=credential) for name in ("airflow-logs", "airflow-xcom")}
    for client in clients.values():
        client.create_container()
    yield clients
    for client in clients.values():
        client.delete_container()


@pytest.fixture
def variables(
    workload: OfflineAzure,
    postgresql: PostgresqlServer,
    database_identity: ManagedIdentity,
    token: FederatedToken,
    tmp_path: Path,
) -> dict[str, str]:
    """The environment of all components; their airflow.cfg is that of the page."""
    home, dags = tmp_path / "airflow", tmp_path / "dags"
    for folder in (home, dags):
        folder.mkdir()
    (dags / "hello.py").write_text(DAG)

    def here(text: str) -> str:
        own = {CLIENT_ID: workload.identity.client_id, TENANT_ID: workload.identity.tenant_id}
        for theirs, ours in {**own, SERVER: f"localhost:{postgresql.port}"}.items():
            text = text.replace(theirs, ours)
        return text

    # The block of CeleryExecutor is for tests/executors.
    blocks = [block for block in of_page("ini") if "[celery]" not in block]
    with (home / "airflow.cfg").open("w") as file:
        configuration(*map(here, blocks)).write(file)
    [connection] = of_page("bash")
    name, _, value = shlex.split(here(connection))[0].partition("=")
    return (
        variables_of(home, dags)
        | workload.environment()
        | token.variables()
        | {
            "AZURE_CLIENT_ID": database_identity.client_id,
            "AZURE_TENANT_ID": database_identity.tenant_id,
            name: value,
            # What a machine with one of each wants, and what lets time pass quickly.
            "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE_FOLDER": str(tmp_path / "tokens"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_RECYCLE": str(LIFETIME),
        }
    )


@pytest.mark.timeout(900)
def test_airflow_runs_through_rotation_expiry_and_an_outage(
    variables: dict[str, str],
    token: FederatedToken,
    postgresql: PostgresqlServer,
    vault: KeyVault,
    containers: dict[str, ContainerClient],
) -> None:
    program = Airflow(variables)
    program.run("db", "migrate")
    [values] = map(yaml.safe_load, of_page("yaml"))
    of_chart = chart_url(values["data"]["metadataConnection"] | {"host": "localhost", "port": postgresql.port})
    program.run("db", "check", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=of_chart)
    with AirflowDeployment(variables, {}, has_keys=True) as airflow:
        assert run_of(airflow, "first") == "success", airflow.logs()
        before = tokens_of(postgresql)
        token.rotate()
        airflow.wait_for("token of its own after the expiry", lambda: len(tokens_of(postgresql) - before) > 2)
        assert run_of(airflow, "second") == "success", airflow.logs()
        outage(airflow, token, postgresql)
        log = f"{RUNS}/first/taskInstances/say/logs/1"
        assert "It says: hello from the vault" in json.dumps(airflow.get(log))
        said = airflow.logs()
    assert "eyJ" not in said
    assert {each.refused for each in postgresql.sign_ins if each.role == ROLE} == {None}
    assert {*vault.secrets} == {*vault.read} & {*vault.secrets}, "the keys and the Variable are from the vault"
    for name, beginning in {"airflow-logs": "wasb-logs/", "airflow-xcom": "xcom/hello/"}.items():
        assert any(blob.startswith(beginning) for blob in containers[name].list_blob_names()), said


def outage(airflow: AirflowDeployment, token: FederatedToken, database: PostgresqlServer) -> None:
    """Let the federated token expire; a run that is queued meanwhile ends well once it is rotated."""
    database.run("UPDATE dag SET is_paused = true", database=DATABASE)
    airflow.wait_for("run", lambda: airflow.post(RUNS, {"dag_run_id": "third", "logical_date": None}))
    token.expire()
    airflow.wait_for("lack of a token in the scheduler", lambda: WAITING in airflow.log("scheduler"))
    database.run("UPDATE dag SET is_paused = false", database=DATABASE)
    time.sleep(2 * LIFETIME)
    state = database.run("SELECT state FROM dag_run WHERE run_id = 'third'", database=DATABASE)
    assert state == "queued", airflow.logs()
    token.rotate()
    assert end_of(airflow, "third") == "success", airflow.logs()
    said = airflow.log("scheduler")
    assert said.count(WAITING) == 1, said
    assert "AZURE_FEDERATED_TOKEN_FILE) holds a federated token that expired" in said
    assert "Traceback" not in said, said


def run_of(airflow: AirflowDeployment, name: str) -> str:
    """Run the DAG once, and return how that ended."""
    airflow.wait_for("DAG", lambda: airflow.get("dags/hello"))
    airflow.wait_for("run", lambda: airflow.post(RUNS, {"dag_run_id": name, "logical_date": None}))
    return end_of(airflow, name)


def end_of(airflow: AirflowDeployment, name: str) -> str:
    """Return how a run ended."""
    return str(
        airflow.wait_for(
            "end of the run",
            lambda: {"success": "success", "failed": "failed"}.get(state_of(airflow, f"{RUNS}/{name}")),
        )
    )


def state_of(airflow: AirflowDeployment, run: str) -> str:
    found = airflow.get(run)
    return str(found["state"]) if found else ""


def tokens_of(database: PostgresqlServer) -> set[str]:
    """Return the ids of the access tokens that signed in so far."""
    return {each.claims["uti"] for each in database.sign_ins if each.role == ROLE}
