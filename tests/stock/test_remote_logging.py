"""Uploading a task's log to Azurite, as what runs a task does after it, where it has no database to read."""

import json
from pathlib import Path

from azure.storage.blob import ContainerClient

from airflow_azure_wi import at
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.airflow_program import Airflow

CONNECTION = "azure_wi"

# The API server here is one that knows the connection and nothing else.
UPLOAD = """
import json, os
import httpx
from airflow.sdk.api.client import Client
from airflow.sdk.execution_time.supervisor import _remote_logging_conn
from airflow.sdk.log import load_remote_log_handler

def answer(request):
    if request.url.path == "/connections/azure_wi":
        return httpx.Response(200, text=os.environ["STORED"])
    return httpx.Response(404, json={"detail": {"reason": "not_found", "message": str(request.url)}})

client = Client(base_url="http://api-server", token="", transport=httpx.MockTransport(answer))
with _remote_logging_conn(client):
    load_remote_log_handler().upload("task.log")
"""


def test_a_worker_fetches_the_connection_of_an_id_with_an_endpoint(
    airflow: Airflow, azure: OfflineAzure, identity: ManagedIdentity, container: ContainerClient, tmp_path: Path
) -> None:
    (tmp_path / "task.log").write_text("It ran.")
    stored = dict.fromkeys(("host", "schema", "login", "password", "port")) | {
        "conn_id": CONNECTION,
        "conn_type": "azure_workload_identity",
        "extra": json.dumps(identity.as_json()),
    }
    said = airflow.python(
        UPLOAD,
        **azure.environment(),
        STORED=json.dumps(stored),
        AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(tmp_path),
        AIRFLOW__LOGGING__REMOTE_LOGGING="True",
        AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER="wasb-logs",
        AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID=at(CONNECTION, azure.azurite.blob_url),
        AIRFLOW__AZURE_REMOTE_LOGGING__REMOTE_WASB_LOG_CONTAINER=container.container_name,
    )
    assert list(container.list_blob_names()) == ["wasb-logs/task.log"], said
    [exchange] = [exchange for exchange in azure.entra.exchanges if exchange.client_id == identity.client_id]
    assert exchange.error_code is None
