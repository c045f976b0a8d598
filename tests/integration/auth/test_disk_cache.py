"""Access tokens that processes share through a folder, and what happens when the folder is no good."""

import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_azure_wi.auth import credential_for
from airflow_azure_wi.auth import disk_cache as _disk
from airflow_azure_wi.auth.credential import SharedCredential
from airflow_azure_wi.auth.token_cache import TokenRequest
from airflow_azure_wi.deployment import Deployment, Options
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import (
    Delay,
    OfflineAzure,
    Refuse,
)
from tests.integration.conftest import USER

STORAGE = "https://storage.azure.com/.default"
PROCESSES = 20

ASK = """
import os, sys
from airflow_azure_wi.auth import credential_for
from airflow_azure_wi.deployment import Deployment, Options
from airflow_azure_wi.identity import WorkloadIdentity
folder, client_id, tenant_id = sys.argv[1:]
who = WorkloadIdentity(client_id, tenant_id)
deployment = Deployment.of(os.environ, Options(token_cache="disk", token_cache_folder=folder))
credential = credential_for(who, deployment, used_by="a task")
print("ready", flush=True)
sys.stdin.readline()
assert credential.get_token("https://storage.azure.com/.default").token
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on demand"


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_disk, "_warned", set())


def on_disk(who: WorkloadIdentity, folder: Path) -> SharedCredential:
    """Return the credential of a process that has just started: it holds no token."""
    deployment = Deployment.of(os.environ, Options(token_cache="disk", token_cache_folder=str(folder)))
    credential = credential_for(who, deployment, used_by=USER)
    credential._tokens._held.clear()
    credential._tokens._start_over()
    return credential


def in_folder(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_processes_that_start_together_make_one_exchange(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path
) -> None:
    command = [sys.executable, "-c", ASK, str(folder), who.client_id, who.tenant_id]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * PROCESSES
    # Long enough for all of them to find that there is no token yet.
    workload.entra.fail_next(Delay(1))
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * PROCESSES
    assert len(workload.entra.exchanges) == 1


def test_a_later_process_makes_none(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    token = on_disk(who, folder).get_token(STORAGE).token
    assert on_disk(who, folder).get_token(STORAGE).token == token
    assert len(workload.entra.exchanges) == 1


def test_only_the_user_of_the_process_may_read_it(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    token = on_disk(who, folder).get_token(STORAGE).token
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = in_folder(folder)
    assert any(token in file.read_text() for file in files), "the access token is what is shared"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    federated_token = workload.projected_token.path.read_text()
    assert not any(federated_token in file.read_text() for file in files)


def test_identities_are_kept_apart(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    on_disk(who, folder).get_token(STORAGE)
    stranger = WorkloadIdentity(workload.identity.client_id, workload.identity.tenant_id)
    on_disk(stranger, folder).get_token(STORAGE)
    assert [exchange.client_id for exchange in workload.entra.exchanges] == [who.client_id, stranger.client_id]


def fill_with_junk(folder: Path) -> None:
    for file in in_folder(folder):
        file.write_bytes(b'{"AccessToken": {"half')


def block_with_a_file(folder: Path) -> None:
    for file in in_folder(folder):
        file.unlink()
    folder.rmdir()
    folder.write_text("not a folder")


def block_the_cache_file(folder: Path) -> None:
    for file in in_folder(folder):
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("break_it", [fill_with_junk, block_with_a_file, block_the_cache_file])
def test_a_cache_that_is_no_good_costs_one_warning_and_no_task(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, caplog: pytest.LogCaptureFixture, break_it: object
) -> None:
    on_disk(who, folder).get_token(STORAGE)
    assert callable(break_it)
    break_it(folder)
    with caplog.at_level(logging.WARNING, logger="airflow_azure_wi"):
        for _ in range(2):
            credential = on_disk(who, folder)
            assert credential.get_token(STORAGE).token
            assert credential.get_token("https://vault.azure.net/.default").token
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_azure_wi")]
    assert len(warnings) == 1
    assert str(folder) in warnings[0]
    assert "token_cache_folder" in warnings[0]


def test_a_corrupted_file_is_replaced_for_the_next_process(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path
) -> None:
    on_disk(who, folder).get_token(STORAGE)
    fill_with_junk(folder)
    on_disk(who, folder).get_token(STORAGE)
    token = on_disk(who, folder).get_token(STORAGE).token
    assert on_disk(who, folder).get_token(STORAGE).token == token
    assert len(workload.entra.exchanges) == 3, "one before, one that found it corrupted, one that wrote it anew"


def test_a_disk_that_is_full(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mock: a full disk cannot be had here without a file system of its own."""

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_disk.FilePersistence, "save", no_space)
    credential = on_disk(who, folder)
    token = credential.get_token(STORAGE).token
    assert credential.get_token(STORAGE).token == token
    assert len(workload.entra.exchanges) == 1


def test_a_folder_of_somebody_else_is_not_trusted(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(parents=True)
    os.chown(folder, 12345, -1)
    on_disk(who, folder).get_token(STORAGE)
    assert "belongs to the user 12345" in caplog.text
    assert in_folder(folder) == []


def test_a_process_that_holds_the_lock_for_too_long_is_not_waited_for(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_disk, "LOCK_TIMEOUT_SECONDS", 0.3)
    credential = on_disk(who, folder)
    credential.get_token("https://vault.azure.net/.default")
    disk = credential._tokens._exchange._means.disk
    released = threading.Event()

    def hold() -> None:
        with disk.exclusively(TokenRequest((STORAGE,))):
            released.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert credential.get_token(STORAGE).token
    finally:
        released.set()
        holder.join()


def test_a_refusal_releases_the_lock(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    workload.entra.fail_next(Refuse("AADSTS700213"))
    with pytest.raises(Exception, match="AADSTS700213"):
        on_disk(who, folder).get_token(STORAGE)
    assert on_disk(who, folder).get_token(STORAGE).token


def test_a_fork_goes_on_sharing(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    credential = on_disk(who, folder)
    credential.get_token(STORAGE)
    child = os.fork()
    if child == 0:
        credential._tokens._held.clear()
        os._exit(0 if credential.get_token(STORAGE).token else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(workload.entra.exchanges) == 1
