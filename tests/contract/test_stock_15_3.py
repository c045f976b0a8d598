"""What the stock provider has since 15.3: Azure AI Search, DAGs in blobs, refreshes of Power BI that a retry finds."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from airflow.providers.microsoft.azure.hooks.ai_search import AzureAISearchHook
from airflow.providers.microsoft.azure.operators.powerbi import PowerBIDatasetRefreshOperator
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import ContainerClient

from airflow_azure_wi import at
from airflow_azure_wi.pytest_plugin import let_aiohttp_trust
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.airflow_program import CONNECTION, Airflow
from tests.recorder import Answer, Recorder

SEARCH = "acct.search.windows.net"
POWER_BI = "api.powerbi.com"
BUNDLE = "airflow.providers.microsoft.azure.bundles.wasb.WasbDagBundle"
DAG = """
from airflow.sdk import DAG

with DAG("from_a_blob", schedule=None):
    pass
"""


@pytest.fixture(autouse=True)
def aiohttp_trusts_the_offline_azure(running_azure: OfflineAzure) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        let_aiohttp_trust(running_azure, monkeypatch)
        yield


@pytest.fixture
def connection(identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch) -> str:
    stored = {"conn_type": "azure_workload_identity", "extra": identity.as_json() | {"trust_env": True}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(stored))
    return CONNECTION


def tokens(recorder: Recorder) -> set[tuple[str, str, str]]:
    asked = ((request.host, request.claims or {}) for request in recorder.requests)
    return {(host, claims["aud"], claims["appid"]) for host, claims in asked}


def test_ai_search_is_asked_with_a_token_again_and_again(
    connection: str, recorder: Recorder, azure: OfflineAzure, identity: ManagedIdentity
) -> None:
    """The stock hook closes its credential after each call."""
    recorder.answers = (Answer("POST .*search", {"value": [{"id": "1", "@search.score": 1.0}]}),)

    async def search() -> list[dict[str, object]]:
        hook = AzureAISearchHook(at(connection, f"https://{SEARCH}"), index="documents")
        return [document async for document in hook.search()]

    assert [asyncio.run(search()) for _ in range(2)] == [[{"id": "1"}]] * 2
    assert tokens(recorder) == {(SEARCH, "https://search.azure.com", identity.client_id)}
    assert len(azure.entra.exchanges) == 1


def test_a_refresh_of_power_bi_is_found_again(
    connection: str, recorder: Recorder, azure: OfflineAzure, identity: ManagedIdentity
) -> None:
    """Each call has an event loop of its own, as in the operator: the one that starts it, and that of a retry."""
    refresh = {"requestId": "42", "status": "Completed", "startTime": "", "endTime": ""}
    recorder.answers = (
        Answer("POST .*/refreshes$", "", 202, {"RequestId": "42"}),
        Answer("GET .*/refreshes$", {"value": [refresh]}),
    )

    def operator() -> PowerBIDatasetRefreshOperator:
        return PowerBIDatasetRefreshOperator(
            task_id="refresh", conn_id=connection, dataset_id="d", group_id="g", deferrable=True
        )

    assert operator().submit_job({}) == "42"
    assert operator().is_job_succeeded(operator().get_job_status("42", {}))
    assert tokens(recorder) == {(POWER_BI, "https://analysis.windows.net/powerbi/api", identity.client_id)}
    assert len(azure.entra.exchanges) == 1


def test_dags_are_read_from_blobs(
    airflow: Airflow,
    workload: OfflineAzure,
    workload_variables: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> None:
    container, identity = f"c{uuid4().hex}", workload.identity
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    blobs = ContainerClient(workload.azurite.blob_url, container, credential=credential)
    blobs.create_container()
    blobs.upload_blob("dags/from_a_blob.py", DAG)
    workload.entra.clear()
    arguments = {
        "wasb_conn_id": at(CONNECTION, workload.azurite.blob_url),
        "container_name": container,
        "prefix": "dags",
    }
    bundles = json.dumps([{"name": "blobs", "classpath": BUNDLE, "kwargs": arguments}])
    variables = workload_variables() | {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path),
    }
    airflow.run("dags", "reserialize", "--bundle-name", "blobs", **variables)
    assert "from_a_blob" in [dag["dag_id"] for dag in airflow.rows("dags", "list", **variables)]
    assert [exchange.error_code for exchange in workload.entra.exchanges] == [None]
