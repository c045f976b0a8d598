"""Operators and sensors of the stock Azure provider with one of our connections, run by Airflow itself."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import Airflow
from tests.stock.recorder import HOSTS, Answer, Recorder

REDIRECT = Path(__file__).parent / "redirect"

# Prints the state of the one task once it is one of those named.
WAIT_FOR_STATE = """
import sys, time
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
wanted, deadline, state = sys.argv[1:], time.time() + 120, None
while state not in wanted and time.time() < deadline:
    time.sleep(1)
    with create_session() as session:
        state = session.query(TaskInstance.state).filter(TaskInstance.dag_id == "stock_sensor").scalar()
print("state:", state)
"""


@pytest.fixture
def blobs(workload: OfflineAzure) -> BlobServiceClient:
    """Azurite, reached without any of our code."""
    identity = workload.identity
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    return BlobServiceClient(workload.azurite.blob_url, credential=credential)


@pytest.fixture
def storage_variables(
    workload_variables: Callable[..., dict[str, str]], blobs: BlobServiceClient, azure: OfflineAzure
) -> dict[str, str]:
    """The environment of the workload, with a new container."""
    container = f"c{uuid4().hex}"
    blobs.create_container(container)
    azure.entra.clear()
    return workload_variables() | {"STORAGE": azure.azurite.blob_url, "CONTAINER": container}


def names_in(blobs: BlobServiceClient, variables: dict[str, str]) -> list[str]:
    return [blob.name for blob in blobs.get_container_client(variables["CONTAINER"]).list_blobs()]


def test_wasb_operators_and_a_sensor_reach_azurite(
    airflow_with_test_dags: Airflow, azure: OfflineAzure, storage_variables: dict[str, str], blobs: BlobServiceClient
) -> None:
    done = airflow_with_test_dags.run("dags", "test", "stock_storage", **storage_variables)
    said = done.stdout + done.stderr
    assert names_in(blobs, storage_variables) == ["second.txt"], "first.txt was uploaded, waited for and deleted"
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None], "four tasks, one exchange"
    assert azure.projected_token.path.read_text() not in said
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"


@pytest.mark.skipif(
    version("apache-airflow-providers-microsoft-azure").startswith("12."),
    reason="stock 12.3 takes no other host for a file system than <account>.blob.core.windows.net",
)
def test_object_storage_paths_reach_azurite(
    airflow_with_test_dags: Airflow, azure: OfflineAzure, storage_variables: dict[str, str], blobs: BlobServiceClient
) -> None:
    airflow_with_test_dags.run("dags", "test", "stock_paths", **storage_variables)
    assert names_in(blobs, storage_variables) == ["copy.txt", "written.txt"]
    copy = blobs.get_blob_client(storage_variables["CONTAINER"], "copy.txt")
    assert copy.download_blob().readall() == b"Hello"
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None], "two paths, one exchange"


def test_a_pipeline_is_run_and_microsoft_graph_is_asked(
    airflow_with_test_dags: Airflow,
    azure: OfflineAzure,
    workload_variables: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.answers = (
            Answer("POST .*/createRun", {"runId": "r"}),
            Answer("GET .*/pipelineruns/r", {"runId": "r", "status": "Succeeded"}),
            Answer("GET /v1.0/users", {"value": []}),
        )
        # The first is for the recorder's certificate; without the second, stock 12.3 fails with current kiota packages.
        options = {"trust_env": True, "allowed_hosts": "graph.microsoft.com"}
        variables = workload_variables(**options) | _reaching(recorder, azure, tmp_path)
        done = airflow_with_test_dags.run("dags", "test", "stock_services", **variables)
    tokens = {(request.host, request.claims["aud"], request.claims["appid"]) for request in recorder.requests}
    client_id = azure.identity.client_id
    assert tokens == {
        ("management.azure.com", "https://management.azure.com", client_id),
        ("graph.microsoft.com", "https://graph.microsoft.com", client_id),
    }, done.stdout + done.stderr
    assert len(azure.entra.exchanges) == 2, "one for each audience"


def test_a_deferred_sensor_waits_in_the_triggerer(
    airflow_with_test_dags: Airflow, azure: OfflineAzure, storage_variables: dict[str, str], blobs: BlobServiceClient
) -> None:
    airflow = Airflow(airflow_with_test_dags.variables | storage_variables | _ports())
    with _running(airflow):
        _trigger(airflow, "stock_sensor")
        assert "state: deferred" in _wait_for(airflow, "deferred", "failed")
        blobs.get_blob_client(storage_variables["CONTAINER"], "awaited.txt").upload_blob(b"here it is")
        assert "state: success" in _wait_for(airflow, "success", "failed")
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None, None], "the task's and the triggerer's"


def _reaching(recorder: Recorder, azure: OfflineAzure, directory: Path) -> dict[str, str]:
    trusted = directory / "trusted.pem"
    trusted.write_bytes(recorder.ca_pem + Path(azure.environment()["SSL_CERT_FILE"]).read_bytes())
    variables = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(trusted))
    return variables | {
        "PYTHONPATH": str(REDIRECT),
        "RECORDER_HOSTS": ",".join(HOSTS),
        "RECORDER_PORT": str(recorder.port),
    }


def _ports() -> dict[str, str]:
    """Free ports for the servers that `airflow standalone` starts."""
    with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as logs:
        port, log_port = web.getsockname()[1], logs.getsockname()[1]
    return {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    }


@contextmanager
def _running(airflow: Airflow) -> Iterator[None]:
    """Run the scheduler, the triggerer and all else that a deployment has."""
    log = Path(airflow.variables["AIRFLOW_HOME"]) / "standalone.txt"
    with log.open("w") as output:
        command = [str(Path(sys.executable).parent / "airflow"), "standalone"]
        process = subprocess.Popen(
            command, env=airflow.variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        except BaseException:
            print(log.read_text()[-20000:])
            raise
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            # Its parts may outlive it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _trigger(airflow: Airflow, dag_id: str) -> None:
    """Start a run, as soon as the DAG has been found."""
    deadline = time.monotonic() + 90
    while airflow.run("dags", "trigger", dag_id, check=False).returncode:
        if time.monotonic() > deadline:
            pytest.fail(f"{dag_id} was not found")
        time.sleep(2)


def _wait_for(airflow: Airflow, *states: str) -> str:
    program = f"import sys; sys.argv[1:] = {json.dumps(states)}\n{WAIT_FOR_STATE}"
    return airflow.python(program)
