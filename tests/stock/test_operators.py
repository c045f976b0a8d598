"""Operators and sensors of the stock Azure provider with one of our connections, run by Airflow itself."""

import re
from collections.abc import Callable
from importlib.metadata import version
from uuid import uuid4

import pytest
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi import at
from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import Airflow
from tests.recorder import Answer, Recorder


@pytest.fixture
def blobs(workload: OfflineAzure) -> BlobServiceClient:
    """Azurite, reached without any of our code."""
    identity = workload.identity
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    return BlobServiceClient(workload.azurite.blob_url, credential=credential)


@pytest.fixture
def storage_variables(
    workload_variables: Callable[..., dict[str, str]], blobs: BlobServiceClient, azure: OfflineAzure
) -> dict[str, str]:
    """The environment of the workload, with a new container."""
    container = f"c{uuid4().hex}"
    blobs.create_container(container)
    azure.entra.clear()
    url = azure.azurite.blob_url
    return workload_variables() | {"STORAGE": url, "AIRFLOW_VAR_ACCOUNT_URL": f"{url}/", "CONTAINER": container}


def names_in(blobs: BlobServiceClient, variables: dict[str, str]) -> list[str]:
    return [blob.name for blob in blobs.get_container_client(variables["CONTAINER"]).list_blobs()]


def test_wasb_operators_and_a_sensor_reach_azurite(
    airflow_with_stock_dags: Airflow, azure: OfflineAzure, storage_variables: dict[str, str], blobs: BlobServiceClient
) -> None:
    done = airflow_with_stock_dags.run("dags", "test", "stock_storage", **storage_variables)
    said = done.stdout + done.stderr
    assert names_in(blobs, storage_variables) == ["second.txt"], "first.txt was uploaded, waited for and deleted"
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None], "four tasks, one exchange"
    assert azure.projected_token.path.read_text() not in said
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"


@pytest.mark.skipif(
    version("apache-airflow-providers-microsoft-azure").startswith("12."),
    reason="stock 12.3 takes no other host for a file system than <account>.blob.core.windows.net",
)
def test_object_storage_paths_reach_azurite(
    airflow_with_stock_dags: Airflow, azure: OfflineAzure, storage_variables: dict[str, str], blobs: BlobServiceClient
) -> None:
    xcom = f"abfs://{at('azure_wi', azure.azurite.blob_url)}@{storage_variables['CONTAINER']}/xcom"
    airflow_with_stock_dags.run(
        "dags",
        "test",
        "stock_paths",
        **storage_variables,
        AIRFLOW__CORE__XCOM_BACKEND="airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH=xcom,
        AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD="1",
    )
    *others, xcom_of_write = sorted(names_in(blobs, storage_variables), key=lambda name: name.startswith("xcom/"))
    assert others == ["copy.txt", "transferred.txt", "written.txt"]
    assert xcom_of_write.startswith("xcom/stock_paths/"), "the path that a task returned was stored in Azurite, too"
    for name in others:
        blob = blobs.get_blob_client(storage_variables["CONTAINER"], name)
        assert blob.download_blob().readall() == b"Hello"
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None], "all paths, one exchange"


def test_a_pipeline_is_run_and_microsoft_graph_is_asked(
    airflow_with_stock_dags: Airflow,
    azure: OfflineAzure,
    recorder: Recorder,
    workload_variables: Callable[..., dict[str, str]],
) -> None:
    recorder.answers = (
        Answer("POST .*/createRun", {"runId": "r"}),
        Answer("GET .*/pipelineruns/r", {"runId": "r", "status": "Succeeded"}),
        Answer("GET /v1.0/users", {"value": []}),
    )
    # The first is for the recorder's certificate; without the second, stock 12.3 fails with current kiota packages.
    options = {"trust_env": True, "allowed_hosts": "graph.microsoft.com"}
    done = airflow_with_stock_dags.run("dags", "test", "stock_services", **workload_variables(**options))
    tokens = {(request.host, request.claims["aud"], request.claims["appid"]) for request in recorder.requests}
    client_id = azure.identity.client_id
    assert tokens == {
        ("management.azure.com", "https://management.azure.com", client_id),
        ("graph.microsoft.com", "https://graph.microsoft.com", client_id),
    }, done.stdout + done.stderr
    assert len(azure.entra.exchanges) == 2, "one for each audience"
