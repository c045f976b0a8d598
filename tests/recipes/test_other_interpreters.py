"""docs/how-to/other-interpreters.md: the DAGs on the page, and what it says does not work, run by Airflow itself."""

import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.testing import OfflineAzure, Workload
from tests.airflow_deployment import AirflowDeployment
from tests.airflow_program import CONNECTION, Airflow, variables_of
from tests.docs.pages import DOCS, ROOT, blocks_of
from tests.recipes.conftest import Run, run_dags

ACCOUNT = "https://acct.blob.core.windows.net"
# A busy machine makes a virtual environment in minutes.
pytestmark = pytest.mark.timeout(900)

PAGE = "\n\n".join(block.code for block in blocks_of(DOCS / "how-to/other-interpreters.md"))

# The function and the decorators of the page, for which it shows no DAG.
MORE_DAGS = """
@dag(schedule=None)
def in_an_external_python():
    containers_of_analysis(sign_in())


@dag(schedule=None)
def by_the_hook():
    containers_by_hook()


in_an_external_python()
by_the_hook()


@task.external_python(python="/opt/analysis/bin/python", expect_airflow=False, env_vars={"PYTHONPATH": ROOT})
def without_airflow():
    from airflow_azure_wi import AzureWorkloadIdentityHook


@dag(schedule=None)
def hook_without_airflow():
    without_airflow()


hook_without_airflow()


@dag(schedule=None)
def env_vars_of_a_task():
    @task.external_python(python="/opt/analysis/bin/python", expect_airflow=False, env_vars=sign_in())
    def with_variables():
        return "they arrived"

    with_variables()


@dag(schedule=None)
def fixed_env_vars():
    @task.external_python(python="/opt/analysis/bin/python", expect_airflow=False, env_vars={"FIXED": "it arrived"})
    def with_fixed_variables():
        import os

        return os.environ["FIXED"]

    with_fixed_variables()


env_vars_of_a_task()
fixed_env_vars()


@task.external_python(python="/opt/analysis/bin/python", expect_airflow=False)
def given(something):
    return "it arrived"


@dag(schedule=None)
def hook_as_argument():
    given(AzureWorkloadIdentityHook("azure_wi"))


@dag(schedule=None)
def credential_as_argument():
    @task
    def credential():
        return AzureWorkloadIdentityHook("azure_wi").get_credential()

    given(credential())


hook_as_argument()
credential_as_argument()
"""

# What a person puts beside their interpreter; azure-identity finds the variables by itself.
REPORT = f"""
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

with BlobServiceClient("{ACCOUNT}", DefaultAzureCredential()) as blobs:
    print("report:", [container.name for container in blobs.list_containers()])
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's requirements are as files: tasks reach no host but those of the offline Azure."""
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture(scope="module")
def analysis(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page calls /opt/analysis: a Python with azure-identity, without Airflow and this package."""
    folder = tmp_path_factory.mktemp("analysis")
    venv.create(folder, symlinks=True, with_pip=True)
    requirements = [f"{name}=={version(name)}" for name in ("azure-identity", "azure-storage-blob")]
    pip = [folder / "bin" / "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "download", "--dest", wheels, *requirements], check=True)
    subprocess.run([*pip, "install", "--no-index", "--no-compile", "--find-links", wheels, *requirements], check=True)
    (folder / "report.py").write_text(REPORT)
    return folder


@pytest.fixture(scope="module")
def airflow_of_the_page(
    analysis: Path, wheels: Path, unused_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Airflow:
    """An Airflow whose DAG folder holds what the page says, with the paths of this machine."""
    dags, home = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("airflow")
    code = f"ROOT = {str(ROOT)!r}\n{PAGE}{MORE_DAGS}"
    code = code.replace("/opt/analysis", str(analysis)).replace("/opt/airflow-too/bin/python", sys.executable)
    (dags / "page.py").write_text(code)
    shutil.copy(unused_database, home / "airflow.db")
    # Airflow installs with uv where there is one.
    local = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "AIRFLOW__STANDARD__VENV_INSTALL_METHOD": "pip"}
    return Airflow(variables_of(home, dags) | local)


@pytest.fixture(scope="module")
def with_connection(airflow_of_the_page: Airflow, running_azure: OfflineAzure) -> Airflow:
    """The same, with the connection in Airflow's database and not in the environment."""
    connection = {"conn_type": "azure_workload_identity", "extra": running_azure.identity_json()}
    airflow_of_the_page.run("connections", "add", CONNECTION, "--conn-json", json.dumps(connection))
    return airflow_of_the_page


@pytest.fixture
def container(azure_workload_identity: Workload) -> str:
    """A container of the account, which the tasks have to find."""
    name = f"other-interpreters-{uuid4()}"
    hook = AzureWorkloadIdentityHook(azure_workload_identity.conn_id)
    hook.get_client(BlobServiceClient, account_url=ACCOUNT).create_container(name)
    return name


@pytest.fixture
def run(with_connection: Airflow, azure: OfflineAzure) -> Callable[..., dict[str, Run]]:
    """Run DAGs by their ids."""
    folder = {"AIRFLOW__CORE__DAGS_FOLDER": with_connection.variables["AIRFLOW__CORE__DAGS_FOLDER"]}
    return lambda *dag_ids: run_dags(with_connection, dag_ids, azure.environment() | folder)


@pytest.mark.parametrize(
    ("dags", "exchanges"),
    [
        pytest.param(["in_a_virtualenv"], 1, id="virtualenv"),
        pytest.param(["in_an_external_python"], 1, id="external_python"),
        pytest.param(["in_bash"], 2, id="bash"),
    ],
)
def test_the_page(
    run: Callable[..., dict[str, Run]], container: str, azure: OfflineAzure, dags: list[str], exchanges: int
) -> None:
    azure.entra.clear()
    runs = run(*dags)
    said = "\n".join(run.said for run in runs.values())
    assert [name for name, run in runs.items() if run.succeeded] == dags, said
    lists = re.findall(r"(?:Returned value was|report): (\[.*?\])", said)
    assert len([names for names in lists if f"'{container}'" in names]) == exchanges, said
    signed_in = [(one.client_id, one.error_code) for one in azure.entra.exchanges]
    assert signed_in == [(azure.identity.client_id, None)] * exchanges
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"


@pytest.fixture
def running_airflow(
    airflow_of_the_page: Airflow, unused_database: Path, azure: OfflineAzure, tmp_path: Path
) -> Iterator[AirflowDeployment]:
    """The same DAGs in a whole Airflow: `airflow dags test` does not answer what another Python asks for."""
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(unused_database, home / "airflow.db")
    variables = airflow_of_the_page.variables | azure.environment() | {"AIRFLOW_HOME": str(home)}
    with AirflowDeployment(variables, {}) as airflow:
        yield airflow


def test_the_hook_reads_a_stored_connection(
    running_airflow: AirflowDeployment, container: str, azure: OfflineAzure
) -> None:
    airflow, runs = running_airflow, "dags/by_the_hook/dagRuns"
    task = f"{runs}/run/taskInstances/containers_by_hook"
    azure.entra.clear()
    connection = {"conn_type": "azure_workload_identity", "extra": json.dumps(azure.identity_json())}
    airflow.wait_for("API server", lambda: airflow.post("connections", {"connection_id": CONNECTION, **connection}))
    airflow.wait_for("DAG", lambda: airflow.post(runs, {"dag_run_id": "run", "logical_date": None}))

    def state() -> str | None:
        found = airflow.get(task)["state"]
        return found if found in {"success", "failed"} else None

    assert airflow.wait_for("end of the task", state) == "success", airflow.logs()
    assert container in json.dumps(airflow.get(f"{task}/xcomEntries/return_value")["value"])
    signed_in = [(one.client_id, one.error_code) for one in azure.entra.exchanges]
    assert signed_in == [(azure.identity.client_id, None)]
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", airflow.logs()), "no token is ever printed"


# What the logs of those say that fail.
FAILURES = {
    "hook_without_airflow": "Apache Airflow is not installed for '.*', and its connections can only be read where",
    "env_vars_of_a_task": "TypeError: 'XComArg' object is not iterable",
    "hook_as_argument": "ModuleNotFoundError: No module named 'airflow_azure_wi'",
    "credential_as_argument": "TypeError: Cannot serialize object of type",
}


def test_what_the_page_says_does_not_work(run: Callable[..., dict[str, Run]]) -> None:
    runs = run(*FAILURES, "fixed_env_vars")
    assert runs.pop("fixed_env_vars").returned == ["it arrived"]
    for name, message in FAILURES.items():
        assert not runs[name].succeeded
        assert re.search(message, runs[name].said), runs[name].said
