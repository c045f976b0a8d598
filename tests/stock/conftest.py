"""The stock Azure provider in this process, one connection of our type, and servers on loopback that it reaches."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import ContainerClient

from airflow_azure_wi.pytest_plugin import let_aiohttp_trust
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.airflow_program import Airflow

CONNECTION = "azure_wi"


@pytest.fixture(autouse=True, scope="package")
def aiohttp_trusts_the_offline_azure(running_azure: OfflineAzure) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        let_aiohttp_trust(running_azure, monkeypatch)
        yield


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> "Connect":
    return Connect(monkeypatch)


class Connect:
    """Defines connections, as a deployment does: by environment variables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, conn_id: str, conn_type: str, *, extra: dict[str, object], **fields: object) -> str:
        connection = {"conn_type": conn_type, "extra": extra, **fields}
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id


@pytest.fixture
def connection(identity: ManagedIdentity, connect: Connect) -> str:
    """The id of a connection that holds what `az identity create` prints, and a few options of stock hooks."""
    options = {
        "resource_group": "rg",
        "resource_group_name": "rg",
        # Microsoft Graph's hook reads SSL_CERT_FILE only if it is told to.
        "trust_env": True,
    }
    return connect(CONNECTION, "azure_workload_identity", extra=identity.as_json() | options)


@pytest.fixture
def container(workload: OfflineAzure) -> ContainerClient:
    """A new container in Azurite, reached without any of our code."""
    identity = workload.identity
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    client = ContainerClient(workload.azurite.blob_url, f"c{uuid4().hex}", credential=credential)
    client.create_container()
    workload.entra.clear()
    return client


@pytest.fixture(scope="session")
def airflow_with_stock_dags(airflow: Airflow) -> Airflow:
    """An Airflow whose DAG folder holds the DAGs of these tests."""
    return Airflow(airflow.variables | {"AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags")})
