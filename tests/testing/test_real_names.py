"""The offline Azure under the names of the real one, as a workload's clients see it."""

import socket
import threading
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from azure.core.exceptions import ServiceRequestError
from azure.data.tables import TableServiceClient
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from msal import ConfidentialClientApplication
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from airflow_azure_wi.testing import OfflineAzure


@pytest.fixture
def credential(workload: OfflineAzure) -> WorkloadIdentityCredential:
    identity = workload.identity
    return WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)


@pytest.mark.parametrize("suffix", ["core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn"])
def test_a_storage_account_has_its_three_services(credential: WorkloadIdentityCredential, suffix: str) -> None:
    name = f"n{uuid4().hex}"
    container = BlobServiceClient(f"https://acct.blob.{suffix}", credential=credential).create_container(name)
    container.upload_blob("folder/it.txt", b"it")
    assert container.download_blob("folder/it.txt").readall() == b"it"
    queue = QueueServiceClient(f"https://acct.queue.{suffix}", credential=credential).create_queue(name)
    queue.send_message("it")
    assert [message.content for message in queue.receive_messages()] == ["it"]
    table = TableServiceClient(f"https://acct.table.{suffix}", credential=credential).create_table(name)
    table.create_entity({"PartitionKey": "p", "RowKey": "r"})
    assert table.get_entity("p", "r")["RowKey"] == "r"


def test_accounts_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OfflineAzure(tmp_path / "azure", accounts=["mine", "yours"]) as azure:
        for name, value in azure.environment().items():
            monkeypatch.setenv(name, value)
        identity = azure.identity
        credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
        mine, yours = (
            BlobServiceClient(f"https://{account}.blob.core.windows.net", credential=credential)
            for account in ("mine", "yours")
        )
        mine.create_container("only-mine")
        assert [container.name for container in mine.list_containers()] == ["only-mine"]
        assert list(yours.list_containers()) == []


@pytest.mark.parametrize("host", ["login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn"])
def test_entra_answers_under_its_name(workload: OfflineAzure, host: str) -> None:
    identity = workload.identity
    application = ConfidentialClientApplication(
        identity.client_id,
        authority=f"https://{host}/{identity.tenant_id}",
        client_credential={"client_assertion": workload.projected_token.path.read_text},
    )
    assert application.acquire_token_for_client(["https://storage.azure.com/.default"])["token_type"] == "Bearer"
    assert [exchange.host for exchange in workload.entra.exchanges] == [host]


def test_an_authority_of_its_own_is_one_of_entras(workload: OfflineAzure) -> None:
    """As MSAL asks, which knows the names of the real hosts and no other."""
    authority = f"{workload.entra.authority_host}/{workload.identity.tenant_id}"
    application = ConfidentialClientApplication(
        workload.identity.client_id, authority=authority, client_credential={"client_assertion": lambda: "unused"}
    )
    assert application.authority.token_endpoint == f"{authority}/oauth2/v2.0/token"


def test_any_other_host_is_refused(credential: WorkloadIdentityCredential) -> None:
    elsewhere = BlobServiceClient("https://elsewhere.blob.core.windows.net", credential=credential, retry_total=0)
    with pytest.raises(ServiceRequestError, match="403 Not in the offline Azure"):
        elsewhere.create_container("it")


def test_the_refusal_names_what_there_is(workload: OfflineAzure) -> None:
    answer = requests.get(workload.environment()["HTTPS_PROXY"], timeout=10)
    assert answer.status_code == 403
    assert " acct.queue.core.windows.net, " in answer.text


def test_an_application_answers_for_other_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def secret(request: Request) -> Response:
        return PlainTextResponse(f"{request.url.hostname} {request.headers['authorization']}")

    before = set(threading.enumerate())
    with OfflineAzure(tmp_path / "azure", with_storage=False) as azure:
        azure.serve(Starlette(routes=[Route("/it", secret)]), "one.vault.azure.net", "two.vault.azure.net")
        for name, value in azure.environment().items():
            monkeypatch.setenv(name, value)
        for host in ("one.vault.azure.net", "two.vault.azure.net"):
            answer = requests.get(f"https://{host}/it", headers={"Authorization": "Bearer x"}, timeout=10)
            assert answer.text == f"{host} Bearer x"
        with pytest.raises(requests.exceptions.ProxyError):
            requests.get("https://three.vault.azure.net/it", timeout=10)
    assert not {thread for thread in set(threading.enumerate()) - before if "offline-azure" in thread.name}


@pytest.mark.parametrize("sent", [b"CONNECT acct.blob", b"CONNECT login.microsoftonline.com:443 HTTP/1.1\r\n\r\n"])
def test_a_client_that_is_still_connected_does_not_keep_it_from_ending(tmp_path: Path, sent: bytes) -> None:
    before = set(threading.enumerate())
    with OfflineAzure(tmp_path / "azure", with_storage=False) as azure:
        port = int(azure.environment()["HTTPS_PROXY"].rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    with client:
        assert not {thread.name for thread in set(threading.enumerate()) - before if "proxy" in thread.name}
