"""A whole Airflow, as a deployment runs it: every component a process of its own, asked by its REST API."""

import base64
import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.airflow_standalone import end, free_ports

Answer = TypeVar("Answer")

# The last two would serve logs on ports of their own.
COMPONENTS = {
    "api-server": ["api-server"],
    "dag-processor": ["dag-processor"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


class AirflowDeployment:
    """The components of an Airflow 3, which run inside ``with``.

    :param variables: the environment of all components, with an AIRFLOW_HOME that has a database.
    :param of_components: what the environment of one component has besides.
    :param has_keys: whether its configuration has the keys that the components share; otherwise it gets some.
    """

    def __init__(
        self, variables: Mapping[str, str], of_components: Mapping[str, Mapping[str, str]], *, has_keys: bool = False
    ) -> None:
        self._home = Path(variables["AIRFLOW_HOME"])
        [self._port] = free_ports(1)
        self._variables = dict(variables) | _settings(self._port) | ({} if has_keys else _keys())
        self._of_components = of_components
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._running = ExitStack()

    def __enter__(self) -> "AirflowDeployment":
        with ExitStack() as running:
            for name, arguments in COMPONENTS.items():
                self._processes[name] = running.enter_context(self._component(name, arguments))
            self._running = running.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self._running.close()

    def get(self, path: str) -> Any:
        """Return what the REST API answers; None where there is no such thing, and while it is not up yet."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """Create something; None where it cannot be yet."""
        return self._ask("POST", path, body)

    def wait_for(self, what: str, ask: Callable[[], Answer], *, seconds: float = 400) -> Answer:
        """Ask until the answer is true, and return it; fail the test at once if a component ends."""
        deadline = time.monotonic() + seconds
        while not (answer := ask()):
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended:
                pytest.fail(f"{', '.join(ended)} ended while the test waited for {what}\n{self.logs()}")
            if time.monotonic() > deadline:
                pytest.fail(f"no {what} within {seconds:.0f} seconds\n{self.logs()}")
            time.sleep(0.5)
        return answer

    def log(self, component: str) -> str:
        """Return what a component said."""
        return (self._home / f"{component}.log").read_text(errors="replace")

    def logs(self) -> str:
        """Return all that the components said, and the logs of the tasks."""
        files = sorted(self._home.rglob("*.log"))
        return "\n".join(f"== {file.relative_to(self._home)}\n{file.read_text(errors='replace')}" for file in files)

    @contextmanager
    def _component(self, name: str, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        command = [str(Path(sys.executable).parent / "airflow"), *arguments]
        variables = self._variables | self._of_components.get(name, {})
        with (self._home / f"{name}.log").open("wb") as output:
            process = subprocess.Popen(
                command, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                yield process
            finally:
                end(process)

    def _ask(self, method: str, path: str, body: object) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                pytest.fail(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}\n{self.logs()}")
        except OSError:
            pass  # It does not listen yet. Whoever waits sees whether its process lives.
        return None


def _settings(port: int) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__PARALLELISM": "1",
    }


def _keys() -> dict[str, str]:
    return {
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
