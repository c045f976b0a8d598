"""One PostgreSQL, one Redis and one Airflow for all executors, which are started for each test."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.executors.deployment import Deployment, deployment
from tests.executors.resource import Resource
from tests.executors.servers import postgres, redis


@pytest.fixture(scope="session")
def running_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineAzure]:
    with OfflineAzure(tmp_path_factory.mktemp("offline-azure"), with_storage=False) as azure:
        yield azure


@pytest.fixture(scope="session")
def running_resource(running_azure: OfflineAzure) -> Iterator[Resource]:
    with Resource(running_azure) as resource:
        yield resource


@pytest.fixture
def resource(running_resource: Resource) -> Resource:
    """The resource, with no visit on its record."""
    running_resource.visits.clear()
    running_resource.refusals.clear()
    return running_resource


@pytest.fixture(scope="session")
def socket_directory() -> Iterator[Path]:
    """A directory of which the path fits into a socket's address, and whose parents everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="executors-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def airflow_deployment(
    tmp_path_factory: pytest.TempPathFactory,
    socket_directory: Path,
    running_azure: OfflineAzure,
    running_resource: Resource,
) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("airflow")
    for_postgres = socket_directory / "postgres"
    for_postgres.mkdir()
    variables = running_azure.environment() | connection(running_azure) | {"RESOURCE": running_resource.url}
    with (
        postgres(for_postgres, home / "postgres.log") as database,
        redis(socket_directory, home / "redis.log") as broker,
        deployment(home, database, broker, variables) as airflow,
    ):
        yield airflow


def connection(azure: OfflineAzure) -> dict[str, str]:
    value = {"conn_type": "azure_workload_identity", "extra": azure.identity_json()}
    return {"AIRFLOW_CONN_AZURE_WI": json.dumps(value)}


# Executor, token_cache, tasks, exchanges.
Measured = list[tuple[str, str, int, int]]


@pytest.fixture(scope="session")
def measured() -> Iterator[Measured]:
    """What the tests measured, which is printed when all have run, as docs/explanation/performance.md shows it."""
    rows: Measured = []
    yield rows
    print("\n| executor | `token_cache` | tasks | exchanges |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
