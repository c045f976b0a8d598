"""One offline Azure for all tests that sign in, and one Airflow for all that start its programs."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from tests.airflow_program import CONNECTION, Airflow, variables_of, without_recipes
from tests.mysql_server import MySqlServer, mysql_server
from tests.postgresql import PostgresqlServer, postgresql_server
from tests.recorder import Recorder

UNUSED_DATABASE = "unused.db"


def pytest_configure() -> None:
    """Give each of several processes an Airflow home of its own, before any of them has imported Airflow."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["AIRFLOW_HOME"] = str(Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / worker)


@pytest.fixture(autouse=True)
def _options_are_read_again() -> Iterator[None]:
    """Let each test find the options that it sets, although a process reads them once."""
    airflow_compat.start_over()
    yield
    airflow_compat.start_over()


@pytest.fixture(autouse=True)
def _no_secrets_of_earlier_tests() -> Iterator[None]:
    """Airflow puts the secrets of all connections that a process reads into one pattern; compiling it takes seconds."""
    yield
    for package in ("airflow", "airflow.sdk"):
        if masker := sys.modules.get(f"{package}._shared.secrets_masker.secrets_masker"):
            masker.reset_secrets_masker()


@pytest.fixture(scope="session")
def running_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineAzure]:
    with OfflineAzure(tmp_path_factory.mktemp("offline-azure")) as azure:
        yield azure


@pytest.fixture(scope="session")
def _offline_azure(running_azure: OfflineAzure) -> OfflineAzure:
    """The same for the fixture azure_workload_identity; tests/testing/test_pytest_plugin.py sees it start its own."""
    return running_azure


@pytest.fixture
def azure(running_azure: OfflineAzure) -> OfflineAzure:
    """The offline Azure, with no exchange on its record."""
    running_azure.entra.clear()
    return running_azure


@pytest.fixture
def identity(azure: OfflineAzure) -> ManagedIdentity:
    """A managed identity of this test alone, which trusts the default workload.

    Access tokens of other tests are not shared with it: they are of other identities.
    """
    [trusted] = azure.identity.federated_credentials
    identity = ManagedIdentity()
    identity.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
    azure.entra.register(identity)
    return identity


@pytest.fixture
def workload(azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> OfflineAzure:
    """This process as the workload: with its environment."""
    for name, value in azure.environment().items():
        monkeypatch.setenv(name, value)
    return azure


@pytest.fixture(scope="session")
def running_recorder(running_azure: OfflineAzure) -> Recorder:
    return Recorder(running_azure)


@pytest.fixture
def recorder(running_recorder: Recorder, workload: OfflineAzure) -> Recorder:
    """What answers this workload for every service but storage, with nothing on its record."""
    running_recorder.requests.clear()
    running_recorder.answers = ()
    return running_recorder


@pytest.fixture(scope="session")
def postgresql(running_azure: OfflineAzure) -> Iterator[PostgresqlServer]:
    """An Azure Database for PostgreSQL, in which each test makes its role and database."""
    with postgresql_server(running_azure) as server:
        yield server


@pytest.fixture(scope="session")
def mysql(running_azure: OfflineAzure) -> Iterator[MySqlServer]:
    """An Azure Database for MySQL, in which each module of tests makes its own user and database."""
    with mysql_server(running_azure) as server:
        yield server


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """An Airflow with a new database, whose DAG folder holds the example DAGs that are no recipes."""
    dags = without_recipes(tmp_path_factory.mktemp("dags"))
    airflow = Airflow(variables_of(tmp_path_factory.mktemp("airflow"), dags))
    airflow.run("db", "migrate")
    home = Path(airflow.variables["AIRFLOW_HOME"])
    shutil.copy(home / "airflow.db", home / UNUSED_DATABASE)
    return airflow


@pytest.fixture(scope="session")
def unused_database(airflow: Airflow) -> Path:
    """A database as ``airflow db migrate`` makes it, which a test may copy instead of making one."""
    return Path(airflow.variables["AIRFLOW_HOME"]) / UNUSED_DATABASE


@pytest.fixture
def workload_variables(azure: OfflineAzure) -> Callable[..., dict[str, str]]:
    """Return the environment of a workload that is linked to an identity, with a connection that names it."""

    def variables(**extra: str) -> dict[str, str]:
        connection = {"conn_type": "azure_workload_identity", "extra": azure.identity_json() | extra}
        return azure.environment() | {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection)}

    return variables
