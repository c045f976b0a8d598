"""What `dev/bench` measures in a whole Airflow: on PostgreSQL, each component and each task in its own process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from airflow_azure_wi import at
from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import Airflow
from tests.databricks_workspace import HOST, DatabricksWorkspace
from tests.executors.deployment import PRELOAD, Deployment, deployment
from tests.postgresql import postgresql_server
from tests.recorder import Answer, Recorder

HERE = Path(__file__).parent
WORKSPACE, STORAGE = f"https://{HOST}", "https://recorded.blob.core.windows.net"
DATABRICKS = {"ours": at("azure_wi", WORKSPACE), "stock": "stock_databricks"}
BLOBS = {"ours": at("azure_wi", STORAGE), "stock": "stock_blobs"}
NO_BLOB = Answer("^HEAD", b"", 404, {"x-ms-error-code": "BlobNotFound"})
SENSOR_SECONDS = 900


class AirflowBench:
    """An Airflow that runs, with connections of this package and of the stock providers for one identity."""

    def __init__(self, azure: OfflineAzure, airflow: Deployment, tasks: int, sensors: int) -> None:
        self._azure, self._airflow, self._tasks, self._sensors = azure, airflow, tasks, sensors
        self._recorder = Recorder(azure)
        ids = azure.identity
        ours = {"clientId": ids.client_id, "tenantId": ids.tenant_id}
        stock = {"managed_identity_client_id": ids.client_id, "workload_identity_tenant_id": ids.tenant_id}
        for conn_id, conn_type, host, extra in (
            ("azure_wi", "azure_workload_identity", None, ours),
            ("stock_blobs", "wasb", STORAGE, stock),
            ("stock_databricks", "databricks", WORKSPACE, {"use_default_azure_credential": True}),
        ):
            fields = {"connection_id": conn_id, "conn_type": conn_type, "host": host, "extra": json.dumps(extra)}
            airflow.ask("connections", fields)

    def warm_calls(self) -> dict[str, float]:
        """Return microseconds by call."""
        return self._run("warm_calls", "measure", "memory")

    def databricks(self, contender: str, token_cache: str) -> dict[str, float]:
        """Have tasks ask a workspace; return the exchanges of all, and what the call took in a task."""
        workspace = DatabricksWorkspace(self._azure)
        self._azure.entra.clear()
        with self._azure.serving(workspace.app, HOST):
            in_task = self._run("databricks", "medians", token_cache, conn_id=DATABRICKS[contender])
        if workspace.refusals or len(workspace.visits) != self._tasks:
            raise SystemExit(f"{len(workspace.visits)} of {self._tasks} tasks got in: {workspace.refusals[:3]}")
        return {"exchanges": len(self._azure.entra.exchanges), **in_task}

    def _run(self, dag_id: str, task_id: str, token_cache: str, **conf: str) -> dict[str, float]:
        """Run a DAG with LocalExecutor; return what a task returned."""
        options = {"TOKEN_CACHE": token_cache, "TOKEN_CACHE_FOLDER": str(self._airflow.home / "tokens")}
        variables = {f"AIRFLOW__AZURE_WORKLOAD_IDENTITY__{name}": value for name, value in options.items()}
        # Airflow's default: what is logged is part of the cost.
        variables["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"
        with self._airflow.local_executor(variables) as programs:
            run = self._airflow.wait(self._airflow.begin(dag_id, conf), programs)
        if run["state"] != "success":
            raise SystemExit(f"The DAG {dag_id!r} failed.\n{programs[0].said()}")
        path = f"dags/{dag_id}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}/xcomEntries/return_value"
        returned: dict[str, float] = self._airflow.ask(path)["value"]
        return returned

    def sensors(self, contender: str) -> dict[str, float]:
        """Start a triggerer that finds deferred stock sensors; return what it costs until each has asked once."""
        run = self._airflow.begin("sensors", {})["dag_run_id"]
        defer = (HERE / "_bench_defer.py").read_text()
        Airflow(self._airflow.variables).python(defer, run, BLOBS[contender])
        self._azure.entra.clear()
        self._recorder.requests.clear()
        self._recorder.answers = (NO_BLOB,)
        begun = time.monotonic()
        with self._airflow.part("triggerer", {}, "triggerer", "--skip-serve-logs") as triggerer:
            triggerer.wait_until(lambda: len(self._signed_in()) == self._sensors, SENSOR_SECONDS)
            seconds, exchanges = time.monotonic() - begun, len(self._azure.entra.exchanges)
            return {"exchanges": exchanges, "seconds": seconds, **costs_of(triggerer.process.pid)}

    def _signed_in(self) -> set[str]:
        """The blobs that somebody asked for with an access token."""
        return {request.path for request in list(self._recorder.requests) if request.claims}


def costs_of(triggerer: int) -> dict[str, float]:
    """Return the peak memory and the CPU time of the process of a triggerer that runs the triggers."""
    runner = max(psutil.Process(triggerer).children(recursive=True), key=lambda process: process.memory_info().rss)
    [peak] = [line for line in Path(f"/proc/{runner.pid}/status").read_text().splitlines() if "VmHWM" in line]
    used = runner.cpu_times()
    return {"MiB": int(peak.split()[1]) / 1024, "CPU seconds": used.user + used.system}


@contextmanager
def running(azure: OfflineAzure, home: Path, *, tasks: int, sensors: int) -> Iterator[AirflowBench]:
    """Run an Airflow whose home is a folder; its DAGs make as many tasks and sensors as they are told."""
    ids = {"AZURE_CLIENT_ID": azure.identity.client_id, "AZURE_TENANT_ID": azure.identity.tenant_id}
    counts = {"BENCH_TASKS": str(tasks), "BENCH_SENSORS": str(sensors)}
    dags, preload = HERE / "bench_dags", f"{PRELOAD}import airflow.providers.databricks.hooks.databricks\n"
    with postgresql_server(azure) as database:
        # No token for it: every exchange is one of the connections.
        address = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.administrator_url}
        variables = azure.environment() | ids | counts | address
        with deployment(home, "", variables, dags=dags, awaited="databricks", preload=preload) as airflow:
            yield AirflowBench(azure, airflow, tasks, sensors)
