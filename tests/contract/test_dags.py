"""DAGs, run by Airflow itself against the offline Azure."""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_azure_wi import __version__
from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import EXAMPLE_DAGS, Airflow
from tests.metrics_receivers import otlp_receiver, statsd_listener
from tests.recorder import Recorder

CLIENTS = {"BlobServiceClient", "aio.BlobServiceClient", "QueueServiceClient", "TableServiceClient", "get_token"}


def test_every_example_is_parsed_and_named_after_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag
    found = DagBag(str(EXAMPLE_DAGS))
    lacks_cosmos = set() if importlib.util.find_spec("cosmos") else {"recipe_dbt"}
    assert {Path(file).stem for file in found.import_errors} == lacks_cosmos, found.import_errors
    assert all("No module named 'cosmos'" in error for error in found.import_errors.values())
    assert set(found.dags) == {file.stem for file in EXAMPLE_DAGS.glob("*.py")} - {"__init__"} - lacks_cosmos


def test_the_example_reaches_storage_through_every_client(
    airflow: Airflow, azure: OfflineAzure, workload_variables: Callable[..., dict[str, str]]
) -> None:
    storage = azure.azurite
    urls = {"blob": storage.blob_url, "queue": storage.queue_url, "table": storage.table_url}
    command = ("dags", "test", "azure_workload_identity_example", "--conf", json.dumps(urls))
    with otlp_receiver() as receiver:
        done = airflow.run(*command, **workload_variables(), **receiver.variables())
    said = done.stdout + done.stderr
    reports = [json.loads(line) for line in re.findall(r'\{"client": [^}]*\}', said)]
    assert {report["client"] for report in reports} == CLIENTS
    assert all(report["read_back"].startswith("Hello from a") for report in reports)
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None], (
        "five tasks, one process, one exchange"
    )
    assert azure.projected_token.path.read_text() not in said
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"
    exchange = "airflow.azure_workload_identity.token_exchange"
    assert receiver.ours() == {
        exchange: {frozenset({("outcome", "success"), ("code", "none")})},
        f"{exchange}.success": {frozenset()},
        f"{exchange}.duration": {frozenset({("outcome", "success")})},
    }


def test_a_deferred_task_gets_its_token_in_the_event_loop(
    airflow_with_test_dags: Airflow,
    azure: OfflineAzure,
    running_recorder: Recorder,
    workload_variables: Callable[..., dict[str, str]],
) -> None:
    running_recorder.requests.clear()
    with statsd_listener() as listener:
        variables = workload_variables() | listener.variables()
        done = airflow_with_test_dags.run("dags", "test", "deferred_token", **variables)
    assert "resumed with {'different tokens': 1}" in done.stdout + done.stderr
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None], "twenty askers, one exchange"
    [request] = running_recorder.requests
    assert request.user_agent.startswith(
        f"airflow-azure-wi/{__version__} Caller/TokenOperator azsdk-python-storage-blob/"
    )
    exchange = "airflow.azure_workload_identity.token_exchange"
    assert listener.ours() == [f"{exchange}.duration:N|ms", f"{exchange}.success:1|c", f"{exchange}:1|c"]
