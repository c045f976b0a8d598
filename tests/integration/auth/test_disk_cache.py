"""Access tokens that processes share through a folder, and what happens when the folder is no good."""

import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.core.credentials import AccessTokenInfo

from airflow_azure_wi.auth import metrics
from airflow_azure_wi.auth.disk_cache import DiskCache
from airflow_azure_wi.auth.exchange import TokenExchange
from airflow_azure_wi.auth.token_cache import TokenRequest
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import (
    Delay,
    OfflineAzure,
    Refuse,
)
from tests.integration.conftest import USER
from tests.processes import Running

STORAGE = "https://storage.azure.com/.default"
PROCESSES = 20

ASK = """
import os, sys
from airflow_azure_wi.auth import credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
folder, client_id, tenant_id = sys.argv[1:]
who = WorkloadIdentity(client_id, tenant_id)
deployment = Deployment.of(os.environ, {"token_cache": "disk", "token_cache_folder": folder})
credential = credential_for(who, deployment, used_by="a task")
print("ready", flush=True)
sys.stdin.readline()
assert credential.get_token("https://storage.azure.com/.default").token
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on demand"


def new_process(who: WorkloadIdentity, folder: Path, **where: str) -> Callable[[str], AccessTokenInfo]:
    """Return what a process that has just started asks for tokens: nothing is in its memory."""
    options = {"token_cache": "disk", "token_cache_folder": str(folder)}
    exchange = TokenExchange(who, Deployment.of(os.environ | where, options), [USER])
    return lambda scope: exchange(TokenRequest((scope,)))


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
    token = new_process(who, folder)(STORAGE).token
    assert new_process(who, folder)(STORAGE).token == token
    assert len(workload.entra.exchanges) == 1


def test_only_the_user_of_the_process_may_read_it(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    token = new_process(who, folder)(STORAGE).token
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = in_folder(folder)
    assert any(token in file.read_text() for file in files), "the access token is what is shared"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    federated_token = workload.projected_token.path.read_text()
    assert not any(federated_token in file.read_text() for file in files)


def test_identities_are_kept_apart(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    new_process(who, folder)(STORAGE)
    stranger = WorkloadIdentity(workload.identity.client_id, workload.identity.tenant_id)
    new_process(stranger, folder)(STORAGE)
    assert [exchange.client_id for exchange in workload.entra.exchanges] == [who.client_id, stranger.client_id]


def test_a_process_with_another_token_file_does_not_find_the_token(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, tmp_path: Path
) -> None:
    new_process(who, folder)(STORAGE)
    with pytest.raises(FederatedTokenError):
        new_process(who, folder, AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "another"))(STORAGE)


def fill_with_junk(folder: Path) -> None:
    for file in in_folder(folder):
        file.write_bytes(b'{"AccessToken": {"half')


def block_the_cache_file(folder: Path) -> None:
    for file in in_folder(folder):
        file.unlink()
        file.mkdir()


def replace_with_a_file(folder: Path) -> None:
    for file in in_folder(folder):
        file.unlink()
    folder.rmdir()
    folder.write_text("not a folder")


def test_a_corrupted_file_is_replaced(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    new_process(who, folder)(STORAGE)
    fill_with_junk(folder)
    token = new_process(who, folder)(STORAGE).token
    assert new_process(who, folder)(STORAGE).token == token
    assert len(workload.entra.exchanges) == 2, "one before, and one that found it corrupted"


@pytest.mark.parametrize("break_it", [block_the_cache_file, replace_with_a_file])
def test_a_folder_that_is_no_good_costs_one_warning_and_no_task(
    workload: OfflineAzure,
    who: WorkloadIdentity,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    break_it: Callable[[Path], None],
) -> None:
    new_process(who, folder)(STORAGE)
    break_it(folder)
    with caplog.at_level(logging.WARNING, logger="airflow_azure_wi"):
        for _ in range(2):
            ask = new_process(who, folder)
            assert ask(STORAGE).token
            assert ask("https://vault.azure.net/.default").token
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_azure_wi")]
    assert len(warnings) == 1
    assert str(folder) in warnings[0]
    assert "token_cache_folder" in warnings[0]


def test_tasks_in_an_outage_fail_together(who: WorkloadIdentity, workload: OfflineAzure, folder: Path) -> None:
    """One exchange of three attempts takes 1.5 s; one after the other, they would take 18 s."""
    outage = {"AZURE_AUTHORITY_HOST": "https://localhost:1"}

    def task() -> str:
        with pytest.raises(TokenExchangeError) as caught:
            new_process(who, folder, **outage)(STORAGE)
        return str(caught.value)

    begun = time.monotonic()
    messages = Running(12, task).results()
    assert time.monotonic() - begun < 9
    assert len(set(messages)) == 1, "all have the failure of the same exchange"
    assert "could not be reached" in messages[0]
    assert new_process(who, folder)(STORAGE).token


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("null", "another process of this machine, which made the exchange, failed: null"),
        ("[1]", "failed: [1]"),
        ('{"cause": 1, "next_step": "x", "surprise": "y"}', "failed: {"),
        ('{"cause": "it is down", "next_step": "wait.", "surprise": "y", "code": 1}', "It is down\nNext step: wait."),
        ('{"cause": "\\u001b[31mred", "next_step": "wait."}', "\\x1b[31mred"),
        ('{"token_file": [1]}', "failed: {"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("[" * 15_000, "failed: [[["),
    ],
)
def test_a_failure_that_nobody_of_us_wrote_is_an_error_all_the_same(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, written: str, expected: str
) -> None:
    request = TokenRequest((STORAGE,))
    options = {"token_cache": "disk", "token_cache_folder": str(folder)}
    deployment = Deployment.of(os.environ, options)
    # As the exchange names it, which is not written anywhere else.
    name = "|".join((who.client_id, who.tenant_id, workload.entra.authority_host, str(deployment.token_file)))

    def task() -> str:
        with pytest.raises(TokenExchangeError) as caught:
            TokenExchange(who, deployment, [USER])(request)
        return str(caught.value)

    with DiskCache(folder, name).exclusively(request, seconds=1) as turn:
        waiting = Running(1, task)
        time.sleep(1)
        turn.failed(written)
    (message,) = waiting.results()
    assert expected.lower() in message.lower()
    assert USER in message
    assert len(message) < 2000


def test_a_refusal_releases_the_lock(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    workload.entra.fail_next(Refuse("AADSTS700016"))
    with pytest.raises(TokenExchangeError, match="AADSTS700016"):
        new_process(who, folder)(STORAGE)
    assert new_process(who, folder)(STORAGE).token


def test_a_fork_goes_on_sharing(workload: OfflineAzure, who: WorkloadIdentity, folder: Path) -> None:
    new_process(who, folder)(STORAGE)
    child = os.fork()
    if child == 0:
        os._exit(0 if new_process(who, folder)(STORAGE).token else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(workload.entra.exchanges) == 1


def test_a_token_of_another_process_is_counted_and_so_is_an_exchange_that_fails(
    workload: OfflineAzure, who: WorkloadIdentity, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[metrics.Measurement] = []
    metrics.observe(seen.append)
    try:
        for _ in range(2):
            new_process(who, folder)(STORAGE)
        workload.entra.fail_next(Refuse("AADSTS700016"))
        with pytest.raises(TokenExchangeError):
            new_process(who, folder)("https://vault.azure.net/.default")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(folder / "missing"))
        with pytest.raises(FederatedTokenError):
            new_process(who, folder)("https://vault.azure.net/.default")
        metrics.report()
    finally:
        metrics.observe(None)
    exchange = metrics.EXCHANGE
    success = [exchange, f"{exchange}.success", metrics.DURATION]
    failure = [exchange, f"{exchange}.failure.AADSTS700016", metrics.DURATION]
    unsent = [exchange, f"{exchange}.failure.no_federated_token"]
    assert [measurement.name for measurement in seen] == [*success, metrics.DISK_CACHE_HIT, *failure, *unsent]
