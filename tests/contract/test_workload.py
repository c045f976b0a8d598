"""The fixture azure_workload_identity, for tests of DAGs, with this Airflow."""

import asyncio

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.errors import TokenExchangeError
from airflow_azure_wi.testing import Workload

STORAGE = "https://storage.azure.com/.default"
ACCOUNT_URL = "https://acct.blob.core.windows.net"


def test_dag_code_reaches_storage_as_it_is_written(azure_workload_identity: Workload) -> None:
    hook = AzureWorkloadIdentityHook(azure_workload_identity.conn_id)
    hook.get_client(BlobServiceClient, account_url=ACCOUNT_URL).create_container("reports")

    async def names() -> list[str]:
        async with hook.get_async_client(AsyncBlobServiceClient, account_url=ACCOUNT_URL) as service:
            return [container.name async for container in service.list_containers()]

    assert asyncio.run(names()) == ["reports"]
    assert [exchange.error_code for exchange in azure_workload_identity.exchanges] == [None]


def test_dag_code_sees_what_goes_wrong(azure_workload_identity: Workload) -> None:
    azure_workload_identity.remove_federated_credential()
    with pytest.raises(TokenExchangeError, match="AADSTS70025"):
        AzureWorkloadIdentityHook(azure_workload_identity.conn_id).get_token(STORAGE)
    azure_workload_identity.repair()
    azure_workload_identity.throttle(times=3, retry_after=0)
    with pytest.raises(TokenExchangeError, match="HTTP 429"):
        AzureWorkloadIdentityHook(azure_workload_identity.conn_id).get_token(STORAGE)
    assert AzureWorkloadIdentityHook(azure_workload_identity.conn_id).get_token(STORAGE).token
