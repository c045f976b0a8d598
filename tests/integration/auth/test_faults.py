"""Many askers and one trouble: everyone ends with a token or a clear error, and nobody is left waiting."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_azure_wi.auth import Limits, async_credential_for, credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError, WorkloadIdentityError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import CloseConnection, Fault, Hang, OfflineAzure, Refuse, Status
from tests.integration.conftest import USER

STORAGE = "https://storage.azure.com/.default"
ASKERS = 10
QUICK = Limits(read_seconds=1, first_pause_seconds=0.05)

# What happens to every attempt, and whether a token is had of it in the end.
FAULTS: dict[str, tuple[list[Fault], bool]] = {
    "throttled": ([Status(429, headers={"Retry-After": "1"})], True),
    "throttled for long": ([Status(429, headers={"Retry-After": "600"})], False),
    "500, then 200": ([Status(500, b"oops")], True),
    "hangs": ([Hang(10)] * 3, False),
    "closes the connection": ([CloseConnection()] * 3, False),
    "junk": ([Status(200, b"<html>")], False),
    "refused": ([Refuse("AADSTS700016")], False),
}


def outcomes_of_threads_and_coroutines(who: WorkloadIdentity, deployment: Deployment) -> set[str]:
    """Have threads and coroutines ask at once; return the tokens they got, and the classes of the errors."""
    credential = credential_for(who, deployment, used_by=USER, limits=QUICK)
    async_credential = async_credential_for(who, deployment, used_by=USER, limits=QUICK)

    def outcome(ask: Callable[[], str]) -> str:
        try:
            return ask()
        except WorkloadIdentityError as error:
            return type(error).__name__

    async def ask_in_coroutines() -> list[str]:
        asked = [async_credential.get_token(STORAGE) for _ in range(ASKERS)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [type(answer).__name__ if isinstance(answer, Exception) else answer.token for answer in answers]

    with ThreadPoolExecutor(ASKERS + 1) as pool:
        coroutines = pool.submit(asyncio.run, ask_in_coroutines())
        threads = [pool.submit(outcome, lambda: credential.get_token(STORAGE).token) for _ in range(ASKERS)]
        return {thread.result(60) for thread in threads} | set(coroutines.result(60))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_entra(workload: OfflineAzure, who: WorkloadIdentity, deployment: Deployment, name: str) -> None:
    faults, ends_well = FAULTS[name]
    workload.entra.fail_next(*faults)
    outcomes = outcomes_of_threads_and_coroutines(who, deployment)
    if ends_well:
        assert all(outcome.startswith("eyJ") for outcome in outcomes), outcomes
        assert len(outcomes) == 1
    else:
        # Who came after the failed exchange made the next one, and got a token.
        assert TokenExchangeError.__name__ in outcomes
    credential = credential_for(who, deployment, used_by=USER, limits=QUICK)
    assert credential.get_token(STORAGE).token, "the next asker is not held back"


@contextmanager
def removed(file: Path) -> Iterator[None]:
    aside = file.rename(file.with_suffix(".aside"))
    yield
    aside.rename(file)


@contextmanager
def holding(file: Path, content: str) -> Iterator[None]:
    before = file.read_text()
    file.write_text(content)
    yield
    file.write_text(before)


@pytest.mark.parametrize("trouble", ["vanished", "empty", "half-written"])
def test_a_trouble_with_the_token_file(
    workload: OfflineAzure, who: WorkloadIdentity, deployment: Deployment, tmp_path: Path, trouble: str
) -> None:
    file = tmp_path / "token"
    token = workload.projected_token.path.read_text()
    file.write_text(token)
    own = replace(deployment, token_file=file)
    context = {
        "vanished": removed(file),
        "empty": holding(file, ""),
        "half-written": holding(file, token[: token.rindex(".")]),
    }[trouble]
    with context:
        assert outcomes_of_threads_and_coroutines(who, own) == {FederatedTokenError.__name__}
    assert workload.entra.exchanges == [], "nothing was sent"
    assert credential_for(who, own, used_by=USER, limits=QUICK).get_token(STORAGE).token, "once it is there, it is used"


def test_a_file_that_is_replaced_all_the_time(
    workload: OfflineAzure, who: WorkloadIdentity, deployment: Deployment
) -> None:
    """The kubelet's symlink swap, hundreds of times while the file is read."""
    over = threading.Event()

    def rotate() -> None:
        while not over.is_set():
            workload.projected_token.rotate()

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        credential = credential_for(who, deployment, used_by=USER, limits=QUICK)
        for number in range(100):
            # A claims challenge makes an exchange each time.
            credential.get_token(STORAGE, claims=f'{{"access_token": {{"number": {number}}}}}')
    finally:
        over.set()
        rotating.join()
    assert [exchange.error_code for exchange in workload.entra.exchanges] == [None] * 100


def test_twenty_hooks_of_five_services_make_five_exchanges(
    workload: OfflineAzure, who: WorkloadIdentity, deployment: Deployment
) -> None:
    services = [
        "storage.azure.com",
        "vault.azure.net",
        "management.azure.com",
        "servicebus.azure.net",
        "cosmos.azure.com",
    ]
    for number in range(20):
        credential_for(who, deployment, used_by=USER).get_token(f"https://{services[number % 5]}/.default")
    assert len(workload.entra.exchanges) == 5
