"""The hook, in this process, against the offline Azure."""

import asyncio
import importlib
import json
import re
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from airflow.sdk.log import redact
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.identity import WorkloadIdentityCredential
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storage.aio import StorageManagementClient as AsyncStorageManagementClient
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient
from rich.console import Console

from airflow_azure_wi import AzureWorkloadIdentityHook, __version__, airflow_compat
from airflow_azure_wi.errors import ClientError, DeploymentError, IdentityError
from airflow_azure_wi.pytest_plugin import let_aiohttp_trust
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.recorder import Answer, Recorder

STORAGE = "https://storage.azure.com/.default"
RECORDED = "https://recorded.blob.core.windows.net"


def async_blobs(azure: OfflineAzure) -> dict[str, str]:
    """Arguments of a client; aiohttp reads SSL_CERT_FILE once, when it is imported, which other tests may have done."""
    return {"account_url": azure.azurite.blob_url, "connection_verify": azure.environment()["SSL_CERT_FILE"]}


@pytest.fixture
def connect(workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Define the connection ``azure_wi``, and return its hook."""

    def define(extra: Any, conn_type: str = "azure_workload_identity", **fields: Any) -> AzureWorkloadIdentityHook:
        connection = {"conn_type": conn_type, "extra": extra, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
        return AzureWorkloadIdentityHook("azure_wi")

    return define


@pytest.fixture
def hook(connect: Any, identity: ManagedIdentity) -> AzureWorkloadIdentityHook:
    return connect(identity.as_json())


def round_trip(service: Any) -> bytes:
    container = service.get_container_client("hook-tests")
    if not container.exists():
        container.create_container()
    container.upload_blob("it", b"written", overwrite=True)
    return container.download_blob("it").readall()


def test_clients_of_different_services_share_one_exchange(hook: Any, azure: OfflineAzure) -> None:
    assert round_trip(hook.get_client(BlobServiceClient, account_url=azure.azurite.blob_url)) == b"written"
    hook.get_client(TableServiceClient, endpoint=azure.azurite.table_url).create_table_if_not_exists("hooktests")

    async def count() -> int:
        async with hook.get_async_client(AsyncBlobServiceClient, **async_blobs(azure)) as service:
            return len([container async for container in service.list_containers()])

    assert asyncio.run(count())
    assert AzureWorkloadIdentityHook("azure_wi").get_token(STORAGE).token == hook.get_token(STORAGE).token
    assert len(azure.entra.exchanges) == 1


def test_in_a_coroutine_the_connection_is_awaited(hook: Any, azure: OfflineAzure) -> None:
    async def count() -> int:
        async with await hook.aget_client(AsyncBlobServiceClient, **async_blobs(azure)) as service:
            return len([container async for container in service.list_containers()])

    assert asyncio.run(count()) >= 0
    assert asyncio.run(hook.aget_token(STORAGE)).token == hook.get_token(STORAGE).token


def senders(hook: Any, recorder: Recorder, **given: Any) -> list[str]:
    """Return what a synchronous and an asynchronous client name as their sender, without Python and platform."""

    async def ask() -> None:
        async with await hook.aget_client(AsyncBlobServiceClient, account_url=RECORDED, **given) as service:
            await service.get_container_client("it").exists()

    recorder.requests.clear()
    hook.get_client(BlobServiceClient, account_url=RECORDED, **given).get_container_client("it").exists()
    asyncio.run(ask())
    return [re.sub(r"/[\d.]+ Python/.*?\)", "", request.user_agent) for request in recorder.requests]


def test_requests_name_the_package_and_so_does_the_exchange(
    hook: Any, azure: OfflineAzure, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_aiohttp_trust(azure, monkeypatch)
    ours = f"airflow-azure-wi/{__version__}"
    assert senders(hook, recorder) == [f"{ours} azsdk-python-storage-blob"] * 2
    assert senders(hook, recorder, user_agent="mine/2") == [f"mine/2 {ours} azsdk-python-storage-blob"] * 2
    [exchange] = azure.entra.exchanges
    assert exchange.user_agent.startswith(f"{ours} azsdk-python-identity/")
    monkeypatch.setenv("AZURE_HTTP_USER_AGENT", "of-the-deployment")
    assert senders(hook, recorder) == [f"{ours} azsdk-python-storage-blob of-the-deployment"] * 2
    monkeypatch.setenv("AZURE_TELEMETRY_DISABLED", "true")
    assert senders(hook, recorder) == ["azsdk-python-storage-blob of-the-deployment"] * 2
    azure.entra.clear()
    hook.get_token("https://vault.azure.net/.default")
    [exchange] = azure.entra.exchanges
    assert exchange.user_agent.startswith("azsdk-python-identity/")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("azure.cosmos.CosmosClient", {"url": "https://acct.documents.azure.com"}),
        ("azure.cosmos.aio.CosmosClient", {"url": "https://acct.documents.azure.com"}),
        ("azure.data.tables.TableServiceClient", {"endpoint": "https://acct.table.core.windows.net"}),
        ("azure.data.tables.aio.TableServiceClient", {"endpoint": "https://acct.table.core.windows.net"}),
        ("azure.keyvault.secrets.SecretClient", {"vault_url": "https://my-vault.vault.azure.net"}),
        ("azure.mgmt.storage.StorageManagementClient", {}),
        ("azure.servicebus.ServiceBusClient", {"fully_qualified_namespace": "acct.servicebus.windows.net"}),
        ("azure.servicebus.aio.ServiceBusClient", {"fully_qualified_namespace": "acct.servicebus.windows.net"}),
        ("azure.storage.filedatalake.DataLakeServiceClient", {"account_url": "https://acct.dfs.core.windows.net"}),
        ("azure.storage.queue.QueueServiceClient", {"account_url": "https://acct.queue.core.windows.net"}),
        ("azure.batch.BatchClient", {"endpoint": "https://acct.westeurope.batch.azure.com"}),
        ("azure.ai.projects.AIProjectClient", {"endpoint": "https://acct.services.ai.azure.com"}),
        ("azure.synapse.spark.SparkClient", {"endpoint": "https://acct.dev.azuresynapse.net", "spark_pool_name": "p"}),
    ],
)
def test_no_client_of_azure_is_broken_by_it(hook: Any, recorder: Recorder, name: str, given: dict[str, str]) -> None:
    module, _, class_name = name.rpartition(".")
    client_class = getattr(importlib.import_module(module), class_name)
    recorder.answers = (Answer("GET acct.documents.azure.com/", {}),)
    assert (hook.get_async_client if ".aio" in name else hook.get_client)(client_class, **given)
    # Some ask at once.
    assert all(request.user_agent.startswith("airflow-azure-wi/") for request in recorder.requests)


def test_get_conn_is_the_credential_or_the_client_that_was_asked_for(hook: Any) -> None:
    assert isinstance(hook.get_conn(), WorkloadIdentityCredential)
    client = AzureWorkloadIdentityHook("azure_wi", sdk_client=StorageManagementClient).get_conn()
    assert isinstance(client, StorageManagementClient)


@pytest.mark.parametrize("client_class", [StorageManagementClient, AsyncStorageManagementClient])
def test_a_management_client_gets_the_connections_subscription(
    hook: Any, identity: ManagedIdentity, client_class: Any
) -> None:
    build = hook.get_client if client_class is StorageManagementClient else hook.get_async_client
    assert build(client_class)._config.subscription_id == identity.subscription_id
    assert build(client_class, subscription_id="another")._config.subscription_id == "another"


def test_a_management_client_asks_for_a_token_of_the_connections_cloud(
    connect: Any, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    hook = connect(identity.as_json() | {"cloud_environment": "AzureUSGovernment"})
    # Any server will do: the token comes first.
    client = hook.get_client(StorageManagementClient, base_url=azure.entra.authority_host)
    with pytest.raises(ResourceNotFoundError):
        list(client.storage_accounts.list())
    assert [exchange.scope for exchange in azure.entra.exchanges] == ["https://management.usgovcloudapi.net/.default"]


def test_a_client_that_wants_a_subscription_says_so(connect: Any, identity: ManagedIdentity) -> None:
    hook = connect({"clientId": identity.client_id, "tenantId": identity.tenant_id})
    with pytest.raises(ClientError, match="StorageManagementClient wants a subscription, and connection 'azure_wi'"):
        hook.get_client(StorageManagementClient)


def test_an_existing_stock_connection_works_unchanged(
    connect: Any, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    extra = {
        "managed_identity_client_id": identity.client_id,
        "workload_identity_tenant_id": identity.tenant_id,
        "subscriptionId": identity.subscription_id,
    }
    hook = connect(extra, conn_type="azure")
    assert round_trip(hook.get_client(BlobServiceClient, account_url=azure.azurite.blob_url)) == b"written"


def test_a_connection_without_ids_falls_back_to_the_environment(
    connect: Any, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", identity.client_id)
    monkeypatch.setenv("AZURE_TENANT_ID", identity.tenant_id)
    assert connect({}).get_token(STORAGE).token


def test_a_wrong_connection_is_named_with_all_that_is_wrong(connect: Any) -> None:
    with pytest.raises(IdentityError, match=r"(?s)connection 'azure_wi'.*clientId is 'me'.*tenantId is missing"):
        connect({"clientId": "me"}).get_credential()


def test_a_connection_cannot_say_where_the_federated_token_is_or_goes(
    connect: Any, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    """Whoever may edit connections must not choose a file to read or a host to send it to."""
    elsewhere = {
        "federated_token_file": "/etc/passwd",
        "token_file_path": "/etc/passwd",
        "AZURE_FEDERATED_TOKEN_FILE": "/etc/passwd",
        "authority": "https://evil.example.com",
        "authority_host": "https://evil.example.com",
        "AZURE_AUTHORITY_HOST": "https://evil.example.com",
    }
    hook = connect(identity.as_json() | elsewhere, host="evil.example.com", schema="https")
    assert hook.get_token(STORAGE).token
    assert hook.environment()["AZURE_FEDERATED_TOKEN_FILE"] == str(azure.projected_token.path)
    assert hook.environment()["AZURE_AUTHORITY_HOST"] == azure.entra.authority_host


def test_the_configuration_names_the_token_file_where_the_environment_does_not(
    hook: Any, azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE")
    monkeypatch.setenv("AIRFLOW__AZURE_WORKLOAD_IDENTITY__FEDERATED_TOKEN_FILE", str(azure.projected_token.path))
    assert hook.get_token(STORAGE).token


def test_an_authority_that_is_not_https_is_refused(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example.com")
    with pytest.raises(DeploymentError, match="AZURE_AUTHORITY_HOST"):
        hook.get_credential()
    assert hook.test_connection()[0] is False


def test_a_token_that_is_handed_out_is_masked(hook: Any) -> None:
    def logged(token: str) -> str:
        return str(redact(f"password={token};"))

    unseen = hook.get_credential().get_token(STORAGE).token
    assert unseen in logged(unseen), "only what is handed to the task is masked"
    assert logged(hook.get_token(STORAGE).token) == "password=***;"
    in_a_coroutine = asyncio.run(hook.aget_token("https://vault.azure.net/.default")).token
    assert logged(in_a_coroutine) == "password=***;"


def test_another_process_signs_in_by_the_environment_alone(
    hook: Any, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    script = (
        "from azure.identity import WorkloadIdentityCredential as C; C().get_token('https://vault.azure.net/.default')"
    )
    variables = azure.environment() | hook.environment()
    subprocess.run([sys.executable, "-c", script], env=variables, check=True, timeout=60)
    [exchange] = azure.entra.exchanges
    assert (exchange.client_id, exchange.error_code) == (identity.client_id, None)
    assert hook.environment()["AZURE_SUBSCRIPTION_ID"] == identity.subscription_id


def test_the_test_says_who_signed_in(hook: Any, identity: ManagedIdentity) -> None:
    works, message = hook.test_connection()
    assert works
    assert message.startswith(f"Signed in as {identity.client_id} (object id {identity.principal_id})")
    assert identity.tenant_id in message


def test_the_test_says_why_it_failed(hook: Any, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture) -> None:
    identity.remove_credential("worker")
    works, message = hook.test_connection()
    assert not works
    # What Airflow shows for seconds, and of a connection whose id there is none that a user gave.
    assert message.startswith("AADSTS70025: The managed identity has no federated identity credential")
    assert "Next step: " in message
    assert len(message) <= 300
    [report] = [record.getMessage() for record in caplog.records if "Examining this connection" in record.getMessage()]
    assert "az identity federated-credential create" in report
    assert "connection '" not in message + report


def test_the_test_says_what_is_wrong_with_the_fields(connect: Any) -> None:
    message = connect({"clientId": "x"}).test_connection()[1]
    assert "clientId is 'x', expected a GUID" in message


def test_the_test_loses_no_word_where_airflow_prints_it(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__AZURE_WORKLOAD_IDENTITY__DEVELOPMENT_CREDENTIAL", "az")
    works, message = hook.test_connection()
    assert not works
    printed = StringIO()
    Console(file=printed, width=1000).print(message)
    assert printed.getvalue().strip() == message
    assert "azure_workload_identity" in message


def test_connection_get_hook_builds_it(hook: Any) -> None:
    built = airflow_compat.BaseHook.get_connection("azure_wi").get_hook()
    assert isinstance(built, AzureWorkloadIdentityHook)
    assert built.get_token(STORAGE).token == hook.get_token(STORAGE).token
