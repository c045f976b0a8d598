"""The real Azure SDK, from the projected token to a blob, a message and an entity in Azurite."""

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.data.tables import TableServiceClient
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from airflow_azure_wi.testing import Azurite, OfflineAzure, Refuse
from tests.testing.token_requests import STORAGE_SCOPE


@pytest.fixture
def storage(workload: OfflineAzure) -> Azurite:
    assert workload.azurite
    return workload.azurite


@pytest.fixture
def credential(workload: OfflineAzure) -> Iterator[WorkloadIdentityCredential]:
    with WorkloadIdentityCredential(
        tenant_id=workload.identity.tenant_id,
        client_id=workload.identity.client_id,
        authority=workload.entra.authority_host,
        retry_total=0,
    ) as credential:
        yield credential


class OtherToken:
    """A credential with a token of another scope than the client asks for."""

    def __init__(self, credential: WorkloadIdentityCredential, scope: str) -> None:
        self._credential, self._scope = credential, scope

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return self._credential.get_token(self._scope)


def test_blob(storage: Azurite, credential: WorkloadIdentityCredential, workload: OfflineAzure) -> None:
    container = BlobServiceClient(storage.blob_url, credential=credential).create_container(f"c{uuid4().hex}")
    container.upload_blob("report.csv", b"a,b\n1,2\n")

    assert container.download_blob("report.csv").readall() == b"a,b\n1,2\n"
    (exchange,) = workload.entra.exchanges
    assert (exchange.scope, exchange.error_code) == (STORAGE_SCOPE, None)
    assert exchange.user_agent.startswith("azsdk-python-identity/")


def test_queue(storage: Azurite, credential: WorkloadIdentityCredential) -> None:
    queue = QueueServiceClient(storage.queue_url, credential=credential).create_queue(f"q{uuid4().hex}")
    queue.send_message("hello")

    assert [message.content for message in queue.receive_messages()] == ["hello"]


def test_table(storage: Azurite, credential: WorkloadIdentityCredential) -> None:
    tables = TableServiceClient(storage.table_url, credential=credential)
    table = tables.create_table(f"t{uuid4().hex}")
    table.create_entity({"PartitionKey": "dag", "RowKey": "1", "state": "success"})

    assert table.get_entity("dag", "1")["state"] == "success"


# In a process of its own, as a workload is: aiohttp reads SSL_CERT_FILE only once, when it is imported.
ASYNC_ROUND_TRIP = """
import asyncio, sys
from azure.identity.aio import WorkloadIdentityCredential
from azure.storage.blob.aio import BlobServiceClient

async def main(tenant_id, client_id, blob_url):
    async with (
        WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id) as credential,
        BlobServiceClient(blob_url, credential=credential, retry_total=0) as blobs,
    ):
        container = await blobs.create_container("async")
        await container.upload_blob("report.csv", b"a,b")
        print(await (await container.download_blob("report.csv")).readall())

asyncio.run(main(*sys.argv[1:]))
"""


def test_blob_async(storage: Azurite, workload: OfflineAzure) -> None:
    identity = workload.identity
    arguments = [identity.tenant_id, identity.client_id, storage.blob_url]
    command = [sys.executable, "-c", ASYNC_ROUND_TRIP, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (result.stdout, result.returncode) == ("b'a,b'\n", 0), result.stderr
    assert [exchange.error_code for exchange in workload.entra.exchanges] == [None]


@pytest.mark.parametrize("scope", ["https://vault.azure.net/.default", "https://other.blob.core.windows.net/.default"])
def test_token_for_another_service_is_refused(
    storage: Azurite, credential: WorkloadIdentityCredential, scope: str
) -> None:
    blobs = BlobServiceClient(storage.blob_url, credential=OtherToken(credential, scope), retry_total=0)

    with pytest.raises(ClientAuthenticationError, match="Invalid token audience"):
        blobs.create_container(f"c{uuid4().hex}")


def test_refusal_reaches_the_caller(
    storage: Azurite, credential: WorkloadIdentityCredential, workload: OfflineAzure
) -> None:
    workload.entra.fail_next(Refuse("AADSTS700213"))
    # Storage clients retry a refused sign-in, with growing pauses, unless they are told not to.
    blobs = BlobServiceClient(storage.blob_url, credential=credential, retry_total=0)

    with pytest.raises(ClientAuthenticationError, match="AADSTS700213: No matching federated identity record"):
        blobs.create_container("never")
    assert [exchange.error_code for exchange in workload.entra.exchanges] == ["AADSTS700213"]
