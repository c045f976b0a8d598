"""Many tasks of one DAG on several workers: each gets its token, in as many exchanges as performance.md says.

Meanwhile, hours pass for the database, 60 times faster: access tokens for it live 5 seconds, which stands for 5
minutes; SQLAlchemy replaces a connection that is 5 seconds old, where Airflow's default is 30 minutes; and the
federated token is rotated every 20 seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.access_tokens import SignIn
from tests.executors.conftest import Database, Measured
from tests.executors.deployment import Deployment
from tests.executors.programs import Program
from tests.executors.resource import Resource

# The DAG of so many tasks. Those that share no tokens need not be many to show it.
DAGS = {200: "two_hundred_tokens", 50: "fifty_tokens"}
WORKERS = ("worker-1", "worker-2")
LIFETIME = 5
# As [scheduler] scheduler_health_check_threshold.
HEALTH_CHECK_SECONDS = 30

# On two cores, 200 tasks take about a minute.
pytestmark = pytest.mark.timeout(1200)

Run = Callable[[int, AbstractContextManager[list[Program]]], None]


def in_memory(worker: str) -> dict[str, str]:
    return {"WORKER": worker, "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE": "memory"}


def on_disk(worker: str, folder: Path) -> dict[str, str]:
    return {
        "WORKER": worker,
        "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE": "disk",
        "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE_FOLDER": str(folder / worker),
    }


@pytest.fixture(scope="module", autouse=True)
def _hours_pass(running_azure: OfflineAzure, database: Database) -> Iterator[None]:
    database.identity.access_token_lifetime = LIFETIME
    with running_azure.projected_token.rotate_every(20):
        yield
    # From here on, no component has a token that expires soon.
    database.identity.access_token_lifetime = None
    time.sleep(LIFETIME + 1)


@pytest.fixture
def run(airflow_deployment: Deployment, azure: OfflineAzure, resource: Resource, database: Database) -> Run:
    def run_the_dag(tasks: int, executor: AbstractContextManager[list[Program]]) -> None:
        before, began = len(database.sign_ins), time.monotonic()
        with executor as programs:
            result = airflow_deployment.run(DAGS[tasks], programs)
            assert database.seconds_since_heartbeat() < HEALTH_CHECK_SECONDS
            said = "".join(program.log.read_text(errors="replace") for program in programs)
        assert_no_heartbeat_failed(said)
        exchanges = sum(exchange.client_id == database.identity.client_id for exchange in azure.entra.exchanges)
        print(f"{time.monotonic() - began:.0f} s, {exchanges} exchanges for the database")
        assert_tokens_expired(database.sign_ins[before:], more_than=tasks // 20)
        assert resource.refusals == [], "every token was valid, and of the identity"
        assert result["state"] == "success"
        presented = [int(path.rpartition("/")[2]) for path in resource.visits]
        assert sorted(presented) == list(range(tasks)), "each task presented one token"
        assert {exchange.error_code for exchange in azure.entra.exchanges} == {None}

    return run_the_dag


@pytest.fixture
def exchanges(azure: OfflineAzure) -> Callable[[], int]:
    """Return how many exchanges the tasks made; others are for the database."""
    identity = azure.identity.client_id
    return lambda: sum(exchange.client_id == identity for exchange in azure.entra.exchanges)


def assert_no_heartbeat_failed(said: str) -> None:
    """Look for what Job.heartbeat logs when it cannot be written (airflow/jobs/job.py)."""
    assert "heartbeat failed" not in said
    assert "heartbeat got an exception" not in said
    assert "eyJ" not in said


def assert_tokens_expired(sign_ins: list[SignIn], *, more_than: int) -> None:
    """Assert that the server was asked again and again, always with a token that was valid then."""
    assert {each.refused for each in sign_ins} == {None}
    tokens = {each.claims["uti"] for each in sign_ins}
    print(f"{len(sign_ins)} new connections to it, {len(tokens)} access tokens")
    assert len(tokens) > more_than


@pytest.fixture
def workers(resource: Resource) -> Callable[[], set[str]]:
    """Return the workers whose tasks presented a token."""
    return lambda: {path.split("/")[1] for path in resource.visits}


def test_local_executor_with_tokens_in_memory(
    airflow_deployment: Deployment, run: Run, exchanges: Callable[[], int], measured: Measured
) -> None:
    run(50, airflow_deployment.local_executor(in_memory("local")))
    measured.append(("LocalExecutor, PostgreSQL", "memory", 50, exchanges()))
    assert exchanges() == 50, "one for each task, which is a process of its own"


def test_local_executor_with_tokens_on_disk(
    airflow_deployment: Deployment, run: Run, exchanges: Callable[[], int], measured: Measured, tmp_path: Path
) -> None:
    run(200, airflow_deployment.local_executor(on_disk("local", tmp_path)))
    measured.append(("LocalExecutor, PostgreSQL", "disk", 200, exchanges()))
    assert exchanges() == 1, "one for the machine"


def test_celery_executor_with_tokens_in_memory(
    airflow_deployment: Deployment,
    run: Run,
    exchanges: Callable[[], int],
    workers: Callable[[], set[str]],
    measured: Measured,
) -> None:
    run(50, airflow_deployment.celery_executor({worker: in_memory(worker) for worker in WORKERS}))
    measured.append(("CeleryExecutor, Redis, 2 workers", "memory", 50, exchanges()))
    assert workers() == set(WORKERS)
    assert exchanges() == 50, "one for each task, which is a process of its own"


def test_celery_executor_with_tokens_on_disk(
    airflow_deployment: Deployment,
    run: Run,
    exchanges: Callable[[], int],
    workers: Callable[[], set[str]],
    measured: Measured,
    tmp_path: Path,
) -> None:
    # Each worker has a folder of its own, as on two machines.
    run(200, airflow_deployment.celery_executor({worker: on_disk(worker, tmp_path) for worker in WORKERS}))
    measured.append(("CeleryExecutor, Redis, 2 workers", "disk, a folder for each worker", 200, exchanges()))
    assert workers() == set(WORKERS)
    assert exchanges() == len(WORKERS), "one for each worker's folder"
