"""The fixture azure_workload_identity as a test of a DAG uses it, and each thing that it lets go wrong."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.data.tables import TableServiceClient
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient
from azure.storage.queue import QueueServiceClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_azure_wi import AzureWorkloadIdentityHook, at
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError
from airflow_azure_wi.testing import Workload

STORAGE = "https://storage.azure.com/.default"

BREAK = {
    "AADSTS70025": lambda workload: workload.remove_federated_credential(),
    "AADSTS700211": lambda workload: workload.change_federated_credential(issuer="https://other"),
    "AADSTS700213": lambda workload: workload.change_federated_credential(subject="system:serviceaccount:other:other"),
    "AADSTS700212": lambda workload: workload.change_federated_credential(audience="api://other"),
    "AADSTS700024": lambda workload: workload.set_cluster_clock_ahead(),
    "AADSTS53003": lambda workload: workload.refuse("AADSTS53003"),
}


def sign_in(conn_id: str = "azure_wi") -> str:
    return AzureWorkloadIdentityHook(conn_id).get_token(STORAGE).token


def blobs() -> BlobServiceClient:
    hook = AzureWorkloadIdentityHook("azure_wi")
    return hook.get_client(BlobServiceClient, account_url="https://acct.blob.core.windows.net")


def outcomes(workload: Workload) -> list[str | None]:
    return [exchange.error_code for exchange in workload.exchanges]


@pytest.mark.parametrize("conn_id", ["azure_wi", "azure_workload_identity_default"])
def test_it_defines_the_usual_connections(azure_workload_identity: Workload, conn_id: str) -> None:
    assert sign_in(conn_id)
    assert azure_workload_identity.conn_id == "azure_wi"
    [exchange] = azure_workload_identity.exchanges
    assert (exchange.client_id, exchange.error_code) == (azure_workload_identity.identity.client_id, None)


def test_another_connection_has_what_its_extra_is_given(azure_workload_identity: Workload) -> None:
    hook = AzureWorkloadIdentityHook(azure_workload_identity.add_connection("data-lake", resource_group="lake"))
    assert hook.get_token(STORAGE).token
    assert hook.get_connection("data-lake").extra_dejson["resource_group"] == "lake"
    assert azure_workload_identity.conn_id == "azure_wi"


@pytest.mark.parametrize("code", BREAK)
def test_entra_refuses(azure_workload_identity: Workload, code: str) -> None:
    BREAK[code](azure_workload_identity)
    with pytest.raises(TokenExchangeError) as caught:
        sign_in()
    assert caught.value.code == code
    assert set(outcomes(azure_workload_identity)) == {code}
    azure_workload_identity.repair()
    assert sign_in()


def test_an_expired_token_is_not_sent_by_a_hook_and_is_refused_where_it_is_sent(
    azure_workload_identity: Workload,
) -> None:
    azure_workload_identity.expire_federated_token()
    with pytest.raises(FederatedTokenError, match=r"expired \d+ s ago"):
        sign_in()
    assert azure_workload_identity.exchanges == []
    identity = azure_workload_identity.identity
    other = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    with pytest.raises(ClientAuthenticationError, match="AADSTS700024"):
        other.get_token(STORAGE)
    azure_workload_identity.repair()
    assert sign_in()


def test_a_missing_token(azure_workload_identity: Workload) -> None:
    azure_workload_identity.remove_federated_token()
    with pytest.raises(FederatedTokenError, match=r"does not exist"):
        sign_in()
    azure_workload_identity.repair()
    assert sign_in()


def test_an_identity_without_a_role(azure_workload_identity: Workload) -> None:
    azure_workload_identity.remove_role_assignment()
    with pytest.raises(HttpResponseError) as caught:
        blobs().create_container("reports")
    assert (caught.value.status_code, caught.value.error_code) == (403, "AuthorizationPermissionMismatch")
    queues = AzureWorkloadIdentityHook("azure_wi").get_client(
        QueueServiceClient, account_url="https://acct.queue.core.windows.net"
    )
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        list(queues.list_queues())
    tables = AzureWorkloadIdentityHook("azure_wi").get_client(
        TableServiceClient, endpoint="https://acct.table.core.windows.net"
    )
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        tables.create_table("reports")
    azure_workload_identity.repair()
    assert blobs().create_container("reports").exists()


def test_another_service_of_azure(azure_workload_identity: Workload) -> None:
    async def answer(request: Request) -> Response:
        scheme, _, token = request.headers["authorization"].partition(" ")
        claims = jwt.decode(token, options={"verify_signature": False})
        return JSONResponse({"value": f"{scheme} for {claims['aud']}"})

    app = Starlette(routes=[Route("/secrets/it", answer)])
    azure_workload_identity.serve(app, "my-vault.vault.azure.net")
    token = AzureWorkloadIdentityHook("azure_wi").get_token("https://vault.azure.net/.default").token
    url, headers = "https://my-vault.vault.azure.net/secrets/it", {"Authorization": f"Bearer {token}"}
    assert requests.get(url, headers=headers, timeout=10).json() == {"value": "Bearer for https://vault.azure.net"}


def test_throttling_that_passes(azure_workload_identity: Workload) -> None:
    azure_workload_identity.throttle(times=2, retry_after=0)
    assert sign_in()
    assert outcomes(azure_workload_identity) == ["HTTP 429", "HTTP 429", None]


@pytest.mark.parametrize(("settings", "requests"), [({"times": 3, "retry_after": 0}, 3), ({"retry_after": 60}, 1)])
def test_throttling_that_stays(azure_workload_identity: Workload, settings: dict[str, int], requests: int) -> None:
    azure_workload_identity.throttle(**settings)
    with pytest.raises(TokenExchangeError, match="HTTP 429"):
        sign_in()
    assert outcomes(azure_workload_identity) == ["HTTP 429"] * requests
    azure_workload_identity.repair()
    assert sign_in()


def test_repair_ends_throttling(azure_workload_identity: Workload) -> None:
    azure_workload_identity.throttle(times=100)
    azure_workload_identity.repair()
    assert sign_in()
    assert outcomes(azure_workload_identity) == [None]


def test_dag_code_reaches_storage_accounts_under_their_own_names(azure_workload_identity: Workload) -> None:
    hook = AzureWorkloadIdentityHook("azure_wi")
    blobs().create_container("reports").upload_blob("it.txt", b"it")
    hook.get_client(QueueServiceClient, account_url="https://acct.queue.core.windows.net").create_queue("work")
    hook.get_client(TableServiceClient, endpoint="https://acct.table.core.windows.net").create_table("reports")

    async def read() -> bytes:
        async with hook.get_async_client(
            AsyncBlobServiceClient, account_url="https://acct.blob.core.windows.net"
        ) as service:
            return await (await service.get_blob_client("reports", "it.txt").download_blob()).readall()

    assert asyncio.run(read()) == b"it"
    assert outcomes(azure_workload_identity) == [None]
    by_url = hook.get_client(BlobServiceClient, account_url=azure_workload_identity.storage.blob_url)
    assert list(by_url.list_containers()) == [], "that is another account"


@pytest.mark.parametrize("by_name", [True, False])
def test_storage_is_emptied_whatever_a_test_left(azure_workload_identity: Workload, by_name: bool) -> None:
    storage, hook = azure_workload_identity.storage, AzureWorkloadIdentityHook("azure_wi")
    urls = [f"https://acct.{service}.core.windows.net" for service in ("blob", "queue", "table")]
    blob_url, queue_url, table_url = urls if by_name else (storage.blob_url, storage.queue_url, storage.table_url)
    containers = hook.get_client(BlobServiceClient, account_url=blob_url)
    queues = hook.get_client(QueueServiceClient, account_url=queue_url)
    tables = hook.get_client(TableServiceClient, endpoint=table_url)

    def leave_things() -> None:
        containers.create_container("leased").acquire_lease()
        containers.create_container("$root")
        queues.create_queue("work")
        tables.create_table("reports")

    leave_things()
    storage.empty()
    assert [*containers.list_containers(), *queues.list_queues(), *tables.list_tables()] == []
    leave_things()


CHILD = """
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient
service = BlobServiceClient("https://acct.blob.core.windows.net", credential=DefaultAzureCredential())
print([container.name for container in service.list_containers()])
"""


def test_a_process_that_a_task_starts(azure_workload_identity: Workload) -> None:
    blobs().create_container("reports")
    variables = os.environ | AzureWorkloadIdentityHook("azure_wi").environment()
    done = subprocess.run([sys.executable, "-c", CHILD], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == "['reports']\n", done.stderr


def test_stock_operators(azure_workload_identity: Workload, tmp_path: Path) -> None:
    from airflow.providers.microsoft.azure.transfers.local_to_wasb import LocalFilesystemToWasbOperator

    (tmp_path / "it.txt").write_text("it")
    blobs().create_container("reports")
    LocalFilesystemToWasbOperator(
        task_id="upload",
        file_path=str(tmp_path / "it.txt"),
        container_name="reports",
        blob_name="it.txt",
        wasb_conn_id=at("azure_wi", "https://acct.blob.core.windows.net"),
    ).execute({})
    assert blobs().get_blob_client("reports", "it.txt").download_blob().readall() == b"it"
    assert outcomes(azure_workload_identity) == [None], "the hook and the operator share one"
