"""One PostgreSQL, one Redis and one Airflow for all executors, which are started for each test.

PostgreSQL takes access tokens and no password: as metadata database, and as result backend of Celery.
"""

import configparser
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from tests.access_tokens import SignIn
from tests.docs.pages import DOCS, blocks_of
from tests.executors.deployment import Deployment, deployment
from tests.executors.resource import Resource
from tests.executors.servers import redis
from tests.postgresql import PostgresqlServer

PAGE = DOCS / "how-to" / "without-any-password.md"
ROLE = "airflow"


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
    """A directory of which the path fits into a socket's address."""
    with tempfile.TemporaryDirectory(prefix="executors-") as directory:
        yield Path(directory)


@dataclass(frozen=True)
class Database:
    """Airflow's database, and the identity that signs in to it.

    :ivar identity: it is not that of the connection, which tells their exchanges apart.
    """

    server: PostgresqlServer
    identity: ManagedIdentity

    @property
    def sign_ins(self) -> list[SignIn]:
        return self.server.sign_ins

    def seconds_since_heartbeat(self) -> float:
        """Return how long ago a scheduler wrote the latest one."""
        latest = "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job WHERE job_type = 'SchedulerJob'"
        return float(self.server.run(latest, database=ROLE))

    def variables(self) -> dict[str, str]:
        """Return the settings of an Airflow that has it as metadata database, and as the page's result backend."""
        url = self.server.url(ROLE, ROLE)
        [page] = [block.code for block in blocks_of(PAGE) if "[celery]" in block.code]
        celery = configparser.ConfigParser(interpolation=None)
        celery.read_string(page.replace("airflow-db.postgres.database.azure.com", f"localhost:{self.server.port}"))
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__CELERY__RESULT_BACKEND": celery["celery"]["result_backend"],
            "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_RECYCLE": "5",
            "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DATABASE_SIGN_IN": "True",
            "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DATABASE_CLIENT_ID": self.identity.client_id,
            "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DATABASE_TENANT_ID": self.identity.tenant_id,
        }


@pytest.fixture(scope="session")
def database(running_azure: OfflineAzure, postgresql: PostgresqlServer) -> Database:
    """A database whose identity trusts the service accounts of all components."""
    identity = ManagedIdentity(tenant_id=running_azure.identity.tenant_id)
    for account in ("airflow-worker", "airflow-triggerer"):
        identity.add_credential(
            FederatedIdentityCredential(
                account, running_azure.cluster.issuer, f"system:serviceaccount:airflow:{account}"
            )
        )
    running_azure.entra.register(identity)
    postgresql.create_role(ROLE, identity, ROLE)
    return Database(postgresql, identity)


@pytest.fixture(scope="session")
def airflow_deployment(
    tmp_path_factory: pytest.TempPathFactory,
    socket_directory: Path,
    running_azure: OfflineAzure,
    running_resource: Resource,
    database: Database,
) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("airflow")
    variables = running_azure.environment() | connection(running_azure) | {"RESOURCE": running_resource.url}
    with (
        redis(socket_directory, home / "redis.log") as broker,
        deployment(home, broker, variables | database.variables()) as airflow,
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
