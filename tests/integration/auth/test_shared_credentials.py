"""Credentials as a process uses them: by many, closed by some, in several event loops, across a fork."""

import asyncio
import copy
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from azure.core.credentials import TokenRequestOptions
from azure.identity import WorkloadIdentityCredential
from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

from airflow_azure_wi.auth import async_credential_for, credential_for
from airflow_azure_wi.auth.async_credential import AsyncSharedCredential
from airflow_azure_wi.auth.credential import SharedCredential
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.pytest_plugin import let_aiohttp_trust
from airflow_azure_wi.testing import OfflineAzure
from tests.integration.conftest import USER

STORAGE = "https://storage.azure.com/.default"
VAULT = "https://vault.azure.net/.default"


def test_they_are_the_types_of_azure_identity(
    credential: SharedCredential, async_credential: AsyncSharedCredential
) -> None:
    assert isinstance(credential, WorkloadIdentityCredential)
    assert isinstance(async_credential, AsyncWorkloadIdentityCredential)


def test_the_same_who_and_where_is_the_same_credential(credential: SharedCredential, who: WorkloadIdentity) -> None:
    deployment = Deployment.of(os.environ)
    assert credential_for(replace(who, subscription_id=None), deployment, used_by="another") is credential
    assert credential_for(replace(who, client_id="0" * 8), deployment, used_by=USER) is not credential
    elsewhere = Deployment.of({**os.environ, "AZURE_FEDERATED_TOKEN_FILE": "/another"})
    assert credential_for(who, elsewhere, used_by=USER) is not credential


def test_many_other_identities_leave_it_as_it_is(credential: SharedCredential, who: WorkloadIdentity) -> None:
    deployment = Deployment.of(os.environ)
    for number in range(60):
        credential_for(replace(who, client_id=str(number)), deployment, used_by=USER)
    assert credential_for(who, deployment, used_by=USER) is credential


def test_threads_that_build_it_at_once_get_the_same_one(deployment: Deployment, who: WorkloadIdentity) -> None:
    ready = threading.Barrier(50)

    def build() -> int:
        ready.wait()
        return id(credential_for(who, deployment, used_by=USER))

    with ThreadPoolExecutor(50) as pool:
        assert len({future.result() for future in [pool.submit(build) for _ in range(50)]}) == 1


def fifty_threads_ask(credential: WorkloadIdentityCredential) -> set[str]:
    """Return the tokens that they got."""
    ready = threading.Barrier(50)

    def ask() -> str:
        ready.wait()
        return credential.get_token(STORAGE).token

    with ThreadPoolExecutor(50) as pool:
        return {future.result() for future in [pool.submit(ask) for _ in range(50)]}


async def two_hundred_coroutines_ask(credential: AsyncWorkloadIdentityCredential) -> set[str]:
    """Return the tokens that they got."""
    return {token.token for token in await asyncio.gather(*(credential.get_token(STORAGE) for _ in range(200)))}


def test_fifty_threads_make_one_exchange(credential: SharedCredential, azure: OfflineAzure) -> None:
    assert len(fifty_threads_ask(credential)) == 1
    assert len(azure.entra.exchanges) == 1


def test_two_hundred_coroutines_make_one_exchange(async_credential: AsyncSharedCredential, azure: OfflineAzure) -> None:
    assert len(asyncio.run(two_hundred_coroutines_ask(async_credential))) == 1
    assert len(azure.entra.exchanges) == 1


def test_those_of_azure_identity_alone_make_one_for_each_that_asks(
    who: WorkloadIdentity, workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_aiohttp_trust(workload, monkeypatch)
    ids = {"client_id": who.client_id, "tenant_id": who.tenant_id}

    async def ask_at_once() -> set[str]:
        async with AsyncWorkloadIdentityCredential(**ids) as credential:
            return await two_hundred_coroutines_ask(credential)

    fifty_threads_ask(WorkloadIdentityCredential(**ids))
    by_threads = len(workload.entra.exchanges)
    asyncio.run(ask_at_once())
    # On a slow machine, some ask when others have got theirs.
    assert (by_threads > 5, len(workload.entra.exchanges) - by_threads > 20) == (True, True)


def test_both_kinds_share_their_tokens(
    credential: SharedCredential, async_credential: AsyncSharedCredential, azure: OfflineAzure
) -> None:
    token = credential.get_token(STORAGE).token
    assert asyncio.run(async_credential.get_token(STORAGE)).token == token
    assert asyncio.run(async_credential.get_token_info(STORAGE)).token == token
    assert len(azure.entra.exchanges) == 1


def test_a_client_that_names_the_tenant_means_the_same_token(
    credential: SharedCredential, who: WorkloadIdentity, azure: OfflineAzure
) -> None:
    token = credential.get_token(STORAGE).token
    assert credential.get_token(STORAGE, tenant_id=who.tenant_id).token == token
    assert credential.get_token_info(STORAGE, options=TokenRequestOptions(tenant_id=who.tenant_id)).token == token
    assert len(azure.entra.exchanges) == 1


def test_a_claims_challenge_makes_a_new_exchange(credential: SharedCredential, azure: OfflineAzure) -> None:
    credential.get_token(STORAGE)
    credential.get_token(STORAGE, claims='{"access_token": {"nbf": {"essential": true, "value": "1"}}}')
    assert len(azure.entra.exchanges) == 2


def test_a_token_is_for_a_scope(credential: SharedCredential, async_credential: AsyncSharedCredential) -> None:
    with pytest.raises(ValueError, match="name one"):
        credential.get_token()
    with pytest.raises(ValueError, match="name one"):
        asyncio.run(async_credential.get_token())


def test_closing_a_client_leaves_the_others_theirs(credential: SharedCredential, azure: OfflineAzure) -> None:
    clients = [BlobServiceClient(azure.azurite.blob_url, credential=credential) for _ in range(2)]
    with clients[0], credential:
        list(clients[0].list_containers())
    credential.close()
    assert credential.get_token(VAULT).token
    list(clients[1].list_containers())


def test_one_credential_serves_event_loops_one_after_the_other(
    async_credential: AsyncSharedCredential, azure: OfflineAzure
) -> None:
    # aiohttp reads SSL_CERT_FILE once, when it is imported, which other tests may have done.
    ca_file = azure.environment()["SSL_CERT_FILE"]

    async def list_containers(scope: str) -> None:
        async with (
            AsyncBlobServiceClient(
                azure.azurite.blob_url, credential=async_credential, connection_verify=ca_file
            ) as client,
            async_credential,
        ):
            async for _ in client.list_containers():
                pass
        await async_credential.get_token(scope)

    for scope in (STORAGE, VAULT, "https://management.azure.com/.default"):
        asyncio.run(list_containers(scope))
    assert len(azure.entra.exchanges) == 3


def test_nothing_is_left_open_at_exit(workload: OfflineAzure, who: WorkloadIdentity) -> None:
    script = f"""
import asyncio, os
from airflow_azure_wi.auth import async_credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
who = WorkloadIdentity({who.client_id!r}, {who.tenant_id!r})
credential = async_credential_for(who, Deployment.of(os.environ), used_by="a script")
print(len(asyncio.run(credential.get_token({STORAGE!r})).token) > 0)
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "True", done.stderr
    assert "Unclosed" not in done.stderr
    assert "ResourceWarning" not in done.stderr


INTERRUPTED_IMPORT = """
import os, signal, sys
from airflow_azure_wi.auth import credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
who = WorkloadIdentity(*sys.argv[1:3])

def ask(*_):
    try:
        credential = credential_for(who, Deployment.of(os.environ), used_by="a task")
        print(len(credential.get_token("https://storage.azure.com/.default").token) > 0)
    except Exception as error:
        print(type(error).__name__, error)

def interrupt(name):
    if name == sys.argv[3] and not interrupted:
        interrupted.append(name)
        os.kill(os.getpid(), signal.SIGTERM)

class Looking:
    def find_spec(self, name, path=None, target=None):
        interrupt(name)

interrupted = []
signal.signal(signal.SIGTERM, ask)
if sys.argv[4] == "looking for it":
    sys.meta_path.insert(0, Looking())
else:
    sys.addaudithook(lambda event, arguments: interrupt(arguments[0]) if event == "import" else None)
import azure.identity
ask()
"""


@pytest.mark.parametrize("when", ["looking for it", "in the module that imports it"])
@pytest.mark.parametrize("module", ["azure.identity._credentials", "azure.identity"])
def test_a_handler_that_interrupts_an_import_does_not_wait_for_it(
    workload: OfflineAzure, who: WorkloadIdentity, module: str, when: str
) -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, who.client_id, who.tenant_id, module, when]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    in_handler, *_, afterwards = done.stdout.splitlines()
    if module == "azure.identity":
        assert in_handler == "True", done.stderr
    else:
        assert "airflow_azure_wi.auth.credential cannot be imported" in in_handler, done.stderr
    assert afterwards == "True", done.stderr


def test_a_fork_keeps_the_tokens_and_leaves_the_connections(credential: SharedCredential, azure: OfflineAzure) -> None:
    token = credential.get_token(STORAGE).token
    # The simulated Entra is a thread of this process: no fork while it is in the middle of a TLS handshake.
    time.sleep(0.5)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    all_started = context.Event()

    def child() -> None:
        all_started.wait(30)
        sender.send((credential.get_token(STORAGE).token, credential.get_token(VAULT).token))

    processes = [context.Process(target=child) for _ in range(4)]
    for process in processes:
        process.start()
    all_started.set()
    answers = [receiver.recv() for _ in processes if receiver.poll(30)]
    for process in processes:
        process.join(10)
    assert [process.exitcode for process in processes] == [0] * 4
    assert {storage for storage, _ in answers} == {token}
    assert len({vault for _, vault in answers}) == 4, "each child made its own exchange, on a connection of its own"
    assert credential.get_token("https://management.azure.com/.default").token
    assert len(azure.entra.exchanges) == 1 + 4 + 1


@pytest.mark.parametrize("kind", [credential_for, async_credential_for])
def test_a_pickle_holds_ids_and_no_token(workload: OfflineAzure, who: WorkloadIdentity, kind: type) -> None:
    credential_for(who, Deployment.of(os.environ), used_by=USER).get_token(STORAGE)
    credential = kind(who, Deployment.of(os.environ), used_by=USER)
    pickled = pickle.dumps(credential)
    assert b"eyJ" not in pickled
    assert pickle.loads(pickled) is credential
    assert copy.deepcopy(credential) is credential


def test_no_token_is_logged_or_shown(
    credential: SharedCredential, azure: OfflineAzure, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = credential.get_token(STORAGE).token
    assert caplog.text, "azure-identity says that it signed in"
    for secret in (token, azure.projected_token.path.read_text()):
        assert secret not in caplog.text
        assert secret not in repr(credential)
        assert secret not in repr(vars(credential))
