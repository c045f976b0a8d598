"""Every stock connection type, by a request that reached a server with an access token of the right identity.

The file system of abfs:// and the connection type wasb reach Azurite, which checks the audience; all others reach a
recorder.
"""

import asyncio
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi import AzureWorkloadIdentityHook, at
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.recorder import Recorder
from tests.stock import hook_table
from tests.stock.cases import CASES, Case
from tests.stock.hook_table import ServedHook

STORAGE = "https://storage.azure.com"

# The connection types of the stock provider 15.2.
TYPES = {
    "adls",
    "azure",
    "azure_ai_agents",
    "azure_analysis_services",
    "azure_batch",
    "azure_compute",
    "azure_container_instance",
    "azure_container_registry",
    "azure_container_volume",
    "azure_cosmos",
    "azure_data_explorer",
    "azure_data_factory",
    "azure_data_lake",
    "azure_fileshare",
    "azure_service_bus",
    "azure_synapse",
    "msgraph",
    "powerbi",
    "wasb",
}


@pytest.fixture(scope="module")
def served() -> list[ServedHook]:
    return []


@pytest.fixture
def container(workload: OfflineAzure, connection: str) -> str:
    """The name of a new container in Azurite."""
    name = f"c{uuid4().hex}"
    hook = AzureWorkloadIdentityHook(connection)
    hook.get_client(BlobServiceClient, account_url=workload.azurite.blob_url).create_container(name)
    return name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_arrives_with_a_token_of_the_identity(
    case: Case,
    connection: str,
    recorder: Recorder,
    azure: OfflineAzure,
    identity: ManagedIdentity,
    served: list[ServedHook],
) -> None:
    azure.entra.register_resource("https://*.asazure.windows.net")
    recorder.answers = case.answers
    case.run(connection)
    tokens = {
        (request.host, claims["aud"], claims["appid"], claims["tid"])
        for request in recorder.requests
        if (claims := request.claims)
    }
    assert tokens == {(case.host, case.audience, identity.client_id, identity.tenant_id)}
    way = "async" if case.is_async else "sync"
    served.append(ServedHook(case.connection_type, case.hook, way, case.host, case.audience))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_hooks_share_one_exchange(case: Case, connection: str, recorder: Recorder, azure: OfflineAzure) -> None:
    azure.entra.register_resource("https://*.asazure.windows.net")
    recorder.answers = case.answers
    for _ in range(2):
        case.run(connection)
    assert len(azure.entra.exchanges) == 1


def test_wasb_reaches_azurite(
    connection: str, container: str, workload: OfflineAzure, identity: ManagedIdentity, served: list[ServedHook]
) -> None:
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    hook = WasbHook(at(connection, workload.azurite.blob_url))
    hook.load_string("Hello", container, "greeting.txt")
    assert hook.read_file(container, "greeting.txt") == "Hello"
    assert hook.get_blobs_list_recursive(container) == ["greeting.txt"]
    served.append(ServedHook("wasb", "wasb.WasbHook", "sync", "Azurite", STORAGE))


def test_wasb_reaches_azurite_from_an_event_loop(
    connection: str, container: str, workload: OfflineAzure, served: list[ServedHook]
) -> None:
    from airflow.providers.microsoft.azure.hooks.wasb import WasbAsyncHook, WasbHook

    conn_id = at(connection, workload.azurite.blob_url)
    WasbHook(conn_id).load_string("Hello", container, "greeting.txt")

    async def look() -> bool:
        hook = WasbAsyncHook(conn_id)
        async with await hook.get_async_conn():
            return await hook.check_for_blob_async(container, "greeting.txt")

    assert asyncio.run(look()) is True
    assert len(workload.entra.exchanges) == 1, "the token that the container was made with is shared, too"
    served.append(ServedHook("wasb", "wasb.WasbAsyncHook", "async", "Azurite", STORAGE))


def test_object_storage_path_reads_and_writes_azurite(connection: str, container: str, workload: OfflineAzure) -> None:
    try:
        from airflow.sdk import ObjectStoragePath
    except ImportError:  # Airflow 2.11
        from airflow.io.path import ObjectStoragePath

    for scheme in ("abfs", "abfss"):
        path = ObjectStoragePath(
            f"{scheme}://{container}/folder/{scheme}.txt", conn_id=at(connection, workload.azurite.blob_url)
        )
        path.write_text("Hello")
        assert path.read_text() == "Hello"
        assert path.exists()
        assert [found.name for found in path.parent.iterdir() if found.name == path.name] == [path.name]


def test_the_table_in_the_docs_is_what_was_served(served: list[ServedHook]) -> None:
    table, is_whole = hook_table.written(served), {row.connection_type for row in served} >= TYPES
    if hook_table.is_to_be_written():
        assert is_whole, "the table is made from a run of all tests of this file"
        hook_table.write(table)
    on_the_page = hook_table.rows(hook_table.on_the_page())
    assert set(hook_table.rows(table)) <= set(on_the_page), "run ./dev/nox -s reference"
    if is_whole:
        assert hook_table.rows(table) == on_the_page, "run ./dev/nox -s reference"
