"""An Airflow with every part of its own, as a deployment has it: all in processes, on one machine."""

import json
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from cryptography.fernet import Fernet

from tests.airflow_program import Airflow, variables_of
from tests.executors.programs import Program, running

DAGS = Path(__file__).parent / "dags"
# More than two tasks at once, so that they contend; not many more, for the machine may have two cores.
AT_ONCE = 8
RUN_SECONDS = 900
# What each task would import again after its fork. No credential is built by it.
PRELOAD = """
import airflow.sdk.execution_time.task_runner
import azure.identity
import airflow_azure_wi.auth.disk_cache
import airflow_azure_wi.auth.exchange
import airflow.providers.microsoft.azure.triggers.wasb
"""


@dataclass(frozen=True)
class Deployment:
    """Its API server and DAG processor run; executors are started for it."""

    home: Path
    variables: dict[str, str]
    address: str
    # Those that every executor needs, by name, and what ends them.
    always: dict[str, Program] = field(default_factory=dict)
    ending: ExitStack = field(default_factory=ExitStack)

    def start(self, name: str) -> Program:
        """Run one of the programs that every executor needs, until the deployment ends."""
        self.always[name] = self.ending.enter_context(self.part(name, {}))
        return self.always[name]

    @contextmanager
    def local_executor(self, variables: Mapping[str, str]) -> Iterator[list[Program]]:
        """Run a scheduler whose LocalExecutor runs the tasks."""
        settings = {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW__CORE__PARALLELISM": str(AT_ONCE)}
        with self.part("scheduler", variables | settings) as scheduler:
            yield [scheduler]

    @contextmanager
    def celery_executor(self, workers: Mapping[str, Mapping[str, str]]) -> Iterator[list[Program]]:
        """Run a scheduler, and Celery workers by name, each with variables of its own."""
        concurrency = str(AT_ONCE // len(workers))
        with ExitStack() as parts:
            programs = []
            for name, variables in workers.items():
                options = ["--celery-hostname", f"{name}@%h", "--concurrency", concurrency, "--skip-serve-logs"]
                command = ["celery", "worker", *options, "--pid", str(self.home / f"{name}.pid")]
                programs.append(parts.enter_context(self.part(name, self._celery | variables, *command)))
            programs.append(parts.enter_context(self.part("scheduler", self._celery)))
            yield programs

    @property
    def _celery(self) -> dict[str, str]:
        return {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}

    @contextmanager
    def part(self, name: str, variables: Mapping[str, str], *command: str) -> Iterator[Program]:
        """Run one of Airflow's programs."""
        program = [str(Path(sys.executable).parent / "airflow"), *(command or [name])]
        with running(name, program, self.home / f"{name}.log", {**self.variables, **variables}) as part:
            yield part

    def run(self, dag_id: str, programs: list[Program]) -> dict[str, Any]:
        """Run a DAG to its end; return the run as the API shows it."""
        return self.wait(self.begin(dag_id, {}), programs)

    def begin(self, dag_id: str, conf: Mapping[str, str]) -> dict[str, Any]:
        """Begin a run of a DAG; return the run as the API shows it."""
        return self.ask(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf)})

    def wait(self, run: dict[str, Any], programs: list[Program]) -> dict[str, Any]:
        """Wait for a run to end; return it as the API shows it."""
        dag_id = run["dag_id"]
        deadline = time.monotonic() + RUN_SECONDS
        while run["state"] not in {"success", "failed"}:
            for program in programs:
                program.must_be_running()
            if time.monotonic() > deadline:
                said = "\n".join(f"{program.name}:\n{program.said()}" for program in programs)
                pytest.fail(f"{dag_id} did not end within {RUN_SECONDS} seconds.\n{said}")
            time.sleep(0.5)
            run = self.ask(f"dags/{dag_id}/dagRuns/{run['dag_run_id']}")
        return run

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API, as a person whose page does it."""
        return self._request(f"/api/v2/{path}", body, {"Authorization": f"Bearer {self._token}"})

    @property
    def _token(self) -> str:
        return self._request("/auth/token")["access_token"]

    def _request(
        self, path: str, body: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data, {"Content-Type": "application/json", **(headers or {})})
        with urlopen(request, timeout=60) as response:
            return json.load(response)

    def is_serving(self) -> bool:
        try:
            return bool(self.ask("monitor/health"))
        except URLError:
            return False

    def has(self, dag_id: str) -> bool:
        try:
            return bool(self.ask(f"dags/{dag_id}"))
        except URLError:
            return False


@contextmanager
def deployment(
    home: Path,
    broker: str,
    variables: Mapping[str, str],
    *,
    dags: Path = DAGS,
    awaited: str = "two_hundred_tokens",
    preload: str = PRELOAD,
) -> Iterator[Deployment]:
    """Run what every executor needs: a migrated database, the API server and the DAG processor.

    :param dags: the folder of its DAGs.
    :param awaited: the DAG that is waited for.
    :param preload: Python that its processes run before they fork.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    airflow = Deployment(home, variables_of(home, dags) | _settings(broker, address) | variables, address)
    (home / "config").mkdir()
    (home / "config" / "airflow_local_settings.py").write_text(preload)
    Airflow(airflow.variables).run("db", "migrate")
    with airflow.ending:
        server, processor = airflow.start("api-server"), airflow.start("dag-processor")
        server.wait_until(airflow.is_serving)
        processor.wait_until(lambda: airflow.has(awaited))
        yield airflow


def _settings(broker: str, address: str) -> dict[str, str]:
    return {
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": address.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # Parts in processes of their own must agree on these.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        # The scheduler is to be quick for what it has to do, not gentle.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    }
