"""Ids with an endpoint in the places that an id goes through, and hooks that need an endpoint and have none."""

import asyncio
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.microsoft.azure.hooks.adx import AzureDataExplorerHook
from airflow.providers.microsoft.azure.hooks.analysis_services import AzureAnalysisServicesHook
from airflow.providers.microsoft.azure.hooks.asb import AdminClientHook, MessageHook
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.batch import AzureBatchHook
from airflow.providers.microsoft.azure.hooks.compute import AzureComputeHook
from airflow.providers.microsoft.azure.hooks.container_instance import AzureContainerInstanceHook
from airflow.providers.microsoft.azure.hooks.container_registry import AzureContainerRegistryHook
from airflow.providers.microsoft.azure.hooks.container_volume import AzureContainerVolumeHook
from airflow.providers.microsoft.azure.hooks.cosmos import AzureCosmosDBHook
from airflow.providers.microsoft.azure.hooks.data_factory import AzureDataFactoryHook
from airflow.providers.microsoft.azure.hooks.data_lake import AzureDataLakeHook, AzureDataLakeStorageV2Hook
from airflow.providers.microsoft.azure.hooks.fileshare import AzureFileShareHook
from airflow.providers.microsoft.azure.hooks.powerbi import PowerBIHook
from airflow.providers.microsoft.azure.hooks.synapse import AzureSynapseHook, AzureSynapsePipelineHook
from airflow.providers.microsoft.azure.hooks.wasb import WasbAsyncHook, WasbHook
from airflow.sdk import Asset, ObjectStoragePath

from airflow_azure_wi import AzureWorkloadIdentityHook, at
from airflow_azure_wi.airflow_compat import BaseHook
from airflow_azure_wi.errors import ClientError, EndpointError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.stock.conftest import Connect

BLOB = "https://acct.blob.core.windows.net"

WITHOUT_AN_ENDPOINT: dict[str, Callable[[str], Any]] = {
    "AzureAnalysisServicesHook": lambda c: AzureAnalysisServicesHook(c).connection,
    "AzureBatchHook": lambda c: AzureBatchHook(c).get_conn(),
    "AzureContainerRegistryHook": lambda c: AzureContainerRegistryHook(c).get_conn(),
    "AzureCosmosDBHook": lambda c: AzureCosmosDBHook(c).get_conn(),
    "AzureDataExplorerHook": lambda c: AzureDataExplorerHook(c).get_conn(),
    "AzureDataLakeHook": lambda c: AzureDataLakeHook(c).get_conn(),
    "AzureDataLakeStorageV2Hook": lambda c: AzureDataLakeStorageV2Hook(c).get_conn(),
    "AzureFileShareHook": lambda c: AzureFileShareHook(azure_fileshare_conn_id=c, share_name="s").get_conn(),
    "AzureSynapseHook": lambda c: AzureSynapseHook(c, "pool").get_conn(),
    "BaseAzureServiceBusHook": lambda c: AdminClientHook(azure_service_bus_conn_id=c).get_conn(),
    "BaseAzureServiceBusHook, messages": lambda c: MessageHook(azure_service_bus_conn_id=c).get_conn(),
    "WasbHook": lambda c: WasbHook(c).get_conn(),
    "WasbHook, deferred": lambda c: asyncio.run(WasbAsyncHook(c).get_async_conn()),
    "the file system abfs://": lambda c: ObjectStoragePath("abfs://container/it.txt", conn_id=c).fs,
}


@pytest.mark.parametrize("who", WITHOUT_AN_ENDPOINT)
def test_without_an_endpoint_nothing_is_sent_and_the_message_shows_at(
    who: str, connection: str, workload: OfflineAzure
) -> None:
    with pytest.raises(EndpointError, match=r"No endpoint: .* needs one.*at\('azure_wi', 'https://") as refused:
        WITHOUT_AN_ENDPOINT[who](connection)
    assert who.partition(",")[0] in str(refused.value)
    assert workload.entra.exchanges == []


@pytest.mark.parametrize("field", [{"host": "acct.blob.core.windows.net"}, {"login": "acct"}])
def test_a_connection_that_names_its_account_is_enough(
    field: dict[str, str], connect: Connect, identity: ManagedIdentity, workload: OfflineAzure
) -> None:
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json(), **field)
    assert WasbHook("azure_wi").get_conn().url == f"{BLOB}/"


def test_hooks_that_need_no_endpoint_are_not_asked_for_one(connection: str, workload: OfflineAzure) -> None:
    from azure.mgmt.storage import StorageManagementClient

    assert AzureBaseHook(StorageManagementClient, connection).get_conn()


FIXED: dict[str, Callable[[str], Any]] = {
    "AzureComputeHook": lambda c: AzureComputeHook(c).get_conn(),
    "AzureContainerInstanceHook": lambda c: AzureContainerInstanceHook(c).get_conn(),
    "AzureContainerVolumeHook": lambda c: AzureContainerVolumeHook(c).get_storagekey(storage_account_name="acct"),
    "AzureDataFactoryHook": lambda c: AzureDataFactoryHook(c).get_conn(),
    "AzureSynapsePipelineHook": lambda c: AzureSynapsePipelineHook("https://ws.dev.azuresynapse.net", c).get_conn(),
}


@pytest.mark.parametrize("who", FIXED)
def test_a_hook_that_would_ignore_the_endpoint_refuses_it(who: str, connection: str, workload: OfflineAzure) -> None:
    name = who.partition(",")[0]
    with pytest.raises(EndpointError, match=rf"which {name} would ignore.*Use the plain id: 'azure_wi'"):
        FIXED[who](at(connection, "https://management.usgovcloudapi.net"))
    assert workload.entra.exchanges == []


def test_the_endpoint_of_the_id_overrides_the_default_of_power_bi(connection: str, workload: OfflineAzure) -> None:
    adapter = PowerBIHook(at(connection, "https://api.powerbigov.us")).get_conn()
    assert adapter.base_url.startswith("https://api.powerbigov.us/")


class TestPath:
    """A path of object storage, whose id has to survive that the path becomes text."""

    @pytest.mark.parametrize(
        "endpoint", [BLOB, f"{BLOB}:443/$logs", "https://[::1]:10000/acct", "https://127.0.0.1:10000/devstoreaccount1"]
    )
    def test_its_text_leads_back_to_it(self, endpoint: str, connection: str) -> None:
        path = ObjectStoragePath("abfs://data/folder/x.txt", conn_id=at(connection, endpoint))
        again = ObjectStoragePath(str(path))
        assert again == path
        assert (again.conn_id, again.bucket, again.key) == (at(connection, endpoint), "data", "folder/x.txt")
        assert ObjectStoragePath(str(path / "below")).conn_id == at(connection, endpoint)
        serialized = json.loads(json.dumps(path.serialize()))
        assert ObjectStoragePath.deserialize(serialized, 1) == path

    @pytest.mark.parametrize("endpoint", [BLOB, "https://127.0.0.1:10000/devstoreaccount1"])
    def test_as_an_asset_it_keeps_its_id(self, endpoint: str, connection: str) -> None:
        path = ObjectStoragePath("abfs://data/x.txt", conn_id=at(connection, endpoint))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # What Airflow takes for a password, it drops with a warning.
            asset = Asset(uri=str(path))
        assert ObjectStoragePath(asset.uri) == path


class TestOwnHook:
    """This package's own hook, whose id may name an endpoint as well."""

    def test_clients_are_built_for_it(self, connection: str, workload: OfflineAzure) -> None:
        from azure.storage.blob import BlobServiceClient
        from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

        hook = AzureWorkloadIdentityHook(at(connection, BLOB), sdk_client=BlobServiceClient)
        assert hook.get_conn().url == f"{BLOB}/"
        assert hook.get_async_client(AsyncBlobServiceClient).url == f"{BLOB}/"

    def test_airflow_builds_the_hook_for_it(self, connection: str, workload: OfflineAzure) -> None:
        from azure.storage.blob import BlobServiceClient

        hook = BaseHook.get_hook(at(connection, BLOB), hook_params={"sdk_client": BlobServiceClient})
        assert isinstance(hook, AzureWorkloadIdentityHook)
        assert hook.get_conn().url == f"{BLOB}/"

    def test_a_client_without_one_refuses_it(self, connection: str, workload: OfflineAzure) -> None:
        from azure.mgmt.storage import StorageManagementClient

        hook = AzureWorkloadIdentityHook(at(connection, BLOB))
        with pytest.raises(ClientError, match="StorageManagementClient has no argument for one"):
            hook.get_client(StorageManagementClient)

    def test_a_credential_is_for_any(self, connection: str, workload: OfflineAzure) -> None:
        hook = AzureWorkloadIdentityHook(at(connection, BLOB))
        assert hook.get_credential() is AzureWorkloadIdentityHook(connection).get_credential()
        assert hook.test_connection()[0]
