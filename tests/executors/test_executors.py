"""200 tasks of one DAG on several workers: each gets its token, in as many exchanges as performance.md says."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.executors.conftest import Measured
from tests.executors.deployment import Deployment
from tests.executors.programs import Program
from tests.executors.resource import Resource

DAG = "two_hundred_tokens"
TASKS = 200
WORKERS = ("worker-1", "worker-2")

# On two cores, a run takes about a minute.
pytestmark = pytest.mark.timeout(1200)

Run = Callable[[AbstractContextManager[list[Program]]], None]


def in_memory(worker: str) -> dict[str, str]:
    return {"WORKER": worker, "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE": "memory"}


def on_disk(worker: str, folder: Path) -> dict[str, str]:
    return {
        "WORKER": worker,
        "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE": "disk",
        "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE_FOLDER": str(folder / worker),
    }


@pytest.fixture
def run(airflow_deployment: Deployment, azure: OfflineAzure, resource: Resource) -> Run:
    def run_the_dag(executor: AbstractContextManager[list[Program]]) -> None:
        with executor as programs:
            result = airflow_deployment.run(DAG, programs)
        assert resource.refusals == [], "every token was valid, and of the identity"
        assert result["state"] == "success"
        presented = [int(path.rpartition("/")[2]) for path in resource.visits]
        assert sorted(presented) == list(range(TASKS)), "each task presented one token"
        assert {exchange.error_code for exchange in azure.entra.exchanges} == {None}

    return run_the_dag


@pytest.fixture
def exchanges(azure: OfflineAzure) -> Callable[[], int]:
    return lambda: len(azure.entra.exchanges)


@pytest.fixture
def workers(resource: Resource) -> Callable[[], set[str]]:
    """Return the workers whose tasks presented a token."""
    return lambda: {path.split("/")[1] for path in resource.visits}


def test_local_executor_with_tokens_in_memory(
    airflow_deployment: Deployment, run: Run, exchanges: Callable[[], int], measured: Measured
) -> None:
    run(airflow_deployment.local_executor(in_memory("local")))
    measured.append(("LocalExecutor, PostgreSQL", "memory", TASKS, exchanges()))
    assert exchanges() == TASKS, "one for each task, which is a process of its own"


def test_local_executor_with_tokens_on_disk(
    airflow_deployment: Deployment, run: Run, exchanges: Callable[[], int], measured: Measured, tmp_path: Path
) -> None:
    run(airflow_deployment.local_executor(on_disk("local", tmp_path)))
    measured.append(("LocalExecutor, PostgreSQL", "disk", TASKS, exchanges()))
    assert exchanges() == 1, "one for the machine"


def test_celery_executor_with_tokens_in_memory(
    airflow_deployment: Deployment,
    run: Run,
    exchanges: Callable[[], int],
    workers: Callable[[], set[str]],
    measured: Measured,
) -> None:
    run(airflow_deployment.celery_executor({worker: in_memory(worker) for worker in WORKERS}))
    measured.append(("CeleryExecutor, Redis, 2 workers", "memory", TASKS, exchanges()))
    assert workers() == set(WORKERS)
    assert exchanges() == TASKS, "one for each task, which is a process of its own"


def test_celery_executor_with_tokens_on_disk(
    airflow_deployment: Deployment,
    run: Run,
    exchanges: Callable[[], int],
    workers: Callable[[], set[str]],
    measured: Measured,
    tmp_path: Path,
) -> None:
    # Each worker has a folder of its own, as on two machines.
    run(airflow_deployment.celery_executor({worker: on_disk(worker, tmp_path) for worker in WORKERS}))
    measured.append(("CeleryExecutor, Redis, 2 workers", "disk, a folder for each worker", TASKS, exchanges()))
    assert workers() == set(WORKERS)
    assert exchanges() == len(WORKERS), "one for each worker's folder"
