"""A stock sensor that is deferred, in a whole Airflow: scheduler, API server, DAG processor and a real triggerer.

All of them log to Azurite, by the same connection, which is stored in Airflow's database.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from airflow_azure_wi import at
from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure, ProjectedToken
from tests.airflow_deployment import COMPONENTS, AirflowDeployment
from tests.airflow_program import variables_of
from tests.metrics_receivers import StatsdListener, statsd_listener

DAGS = Path(__file__).parent / "deployed_dags"
CONNECTION = "azure_wi"
RUNS = "dags/stock_sensor/dagRuns"
TASK = f"{RUNS}/run/taskInstances/wait"
LOGS = "wasb-logs/dag_id=stock_sensor/run_id=run/task_id=wait"
FOUND = "Blob awaited.txt found"


@pytest.fixture
def service_accounts(azure: OfflineAzure, identity: ManagedIdentity, tmp_path: Path) -> dict[str, dict[str, str]]:
    """The environment of each component, which tells its exchanges apart: a federated token of its own."""
    environments = {}
    for name in COMPONENTS:

        def sign(name: str = name) -> str:
            return azure.cluster.service_account_token("airflow", name, lifetime=3600)

        identity.add_credential(
            FederatedIdentityCredential(name, azure.cluster.issuer, f"system:serviceaccount:airflow:{name}")
        )
        token = ProjectedToken(tmp_path / "tokens" / name, sign)
        environments[name] = azure.environment() | {
            "AZURE_FEDERATED_TOKEN_FILE": str(token.path),
            "AIRFLOW__METRICS__STATSD_PREFIX": name,
        }
    return environments


@pytest.fixture
def metrics() -> Iterator[StatsdListener]:
    """What the components send of their metrics; each has a prefix of its own."""
    with statsd_listener() as listener:
        yield listener


@pytest.fixture
def airflow_of_components(
    unused_database: Path,
    service_accounts: dict[str, dict[str, str]],
    azure: OfflineAzure,
    container: ContainerClient,
    metrics: StatsdListener,
    tmp_path: Path,
) -> Iterator[AirflowDeployment]:
    """A running Airflow whose tasks log to the container."""
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(unused_database, home / "airflow.db")
    variables = variables_of(home, DAGS) | {
        "STORAGE": azure.azurite.blob_url,
        "CONTAINER": container.container_name,
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "wasb-logs",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": at(CONNECTION, azure.azurite.blob_url),
        "AIRFLOW__AZURE_REMOTE_LOGGING__REMOTE_WASB_LOG_CONTAINER": container.container_name,
        **metrics.variables(),
    }
    with AirflowDeployment(variables, service_accounts) as airflow:
        yield airflow


@pytest.mark.timeout(600)
def test_a_deferred_sensor_waits_in_the_triggerer(
    airflow_of_components: AirflowDeployment,
    azure: OfflineAzure,
    identity: ManagedIdentity,
    container: ContainerClient,
    metrics: StatsdListener,
) -> None:
    airflow = airflow_of_components
    run_sensor(airflow, identity)
    assert state_once(airflow, "deferred") == "deferred"
    airflow.wait_for("token exchange of the triggerer", lambda: signed_in("triggerer", azure, identity))
    container.upload_blob("awaited.txt", b"here it is")
    assert state_once(airflow, "success") == "success", airflow.logs()

    airflow.wait_for("log of the task in Azurite", lambda: FOUND in text_of(f"{LOGS}/attempt=1.log", container))
    trigger_logs = list(container.list_blob_names(name_starts_with=f"{LOGS}/attempt=1.log.trigger."))
    assert [FOUND in text_of(name, container) for name in trigger_logs] == [True]
    assert FOUND in json.dumps(airflow.get(f"{TASK}/logs/1")), "the API server reads both from Azurite"

    for account in ("scheduler", "triggerer", "api-server"):
        assert signed_in(account, azure, identity), "its parts run tasks, run triggers and show logs"
        counted = f"{account}.azure_workload_identity.token_exchange.success:1|c"
        assert counted in metrics.ours(account), f"Airflow's metrics of the {account} count its exchanges"
    assert {exchange.error_code for exchange in azure.entra.exchanges} == {None}
    said = airflow.logs() + "".join(text_of(name, container) for name in container.list_blob_names())
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"


def run_sensor(airflow: AirflowDeployment, identity: ManagedIdentity) -> None:
    """Store the connection, and start a run of the DAG as soon as it has been found."""
    connection = {"conn_type": "azure_workload_identity", "extra": json.dumps(identity.as_json())}
    airflow.wait_for("API server", lambda: airflow.post("connections", {"connection_id": CONNECTION, **connection}))
    airflow.wait_for("DAG", lambda: airflow.post(RUNS, {"dag_run_id": "run", "logical_date": None}))


def state_once(airflow: AirflowDeployment, wanted: str) -> str:
    """Return the state of the sensor once it is the one that is wanted, or final."""

    def state() -> str | None:
        found = airflow.get(TASK)["state"]
        return found if found in {wanted, "success", "failed"} else None

    return airflow.wait_for(f"{wanted} sensor", state) or ""


def signed_in(service_account: str, azure: OfflineAzure, identity: ManagedIdentity) -> bool:
    """Whether a component got an access token for storage, as the identity of the connection."""
    subject = f"system:serviceaccount:airflow:{service_account}"
    granted = [
        exchange for exchange in azure.entra.exchanges if exchange.subject == subject and not exchange.error_code
    ]
    return any(
        (made.client_id, made.scope.split()[0]) == (identity.client_id, "https://storage.azure.com/.default")
        for made in granted
    )


def text_of(name: str, container: ContainerClient) -> str:
    """Return what a blob holds; nothing while it is not there."""
    blob = container.get_blob_client(name)
    return blob.download_blob().readall().decode() if blob.exists() else ""
