"""A whole Airflow, for the page in front of it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.airflow_program import Airflow
from tests.airflow_standalone import Standalone, standalone

Answer = TypeVar("Answer")

SETTINGS = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # With more, the processes of two tasks keep the page waiting on a small machine.
    "AIRFLOW__CORE__PARALLELISM": "2",
    # Airflow 2.11: the Test button signs in with the cookie of the page.
    "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.session",
    # Airflow 3.0: without an issuer, the PyJWT of today signs nobody in.
    "AIRFLOW__API_AUTH__JWT_ISSUER": "airflow",
}


@dataclass(frozen=True)
class Deployment:
    """An Airflow that runs.

    :ivar program: its command line.
    """

    program: Airflow
    running: Standalone
    log: Path

    @property
    def address(self) -> str:
        return self.running.address

    @property
    def home(self) -> Path:
        return Path(self.program.variables["AIRFLOW_HOME"])

    def wait_for(self, what: str, ask: Callable[[], Answer], *, seconds: float = 240) -> Answer:
        """Ask until the answer is true, and return it; fail the test at once if Airflow ends."""
        deadline = time.monotonic() + seconds
        while not (answer := ask()):
            if self.running.process.poll() is not None:
                pytest.fail(f"Airflow ended before there was {what}\n{self.logs()}")
            if time.monotonic() > deadline:
                pytest.fail(f"no {what} within {seconds:.0f} seconds\n{self.logs()}")
            time.sleep(0.3)
        return answer

    def answers(self) -> bool:
        """Whether the page is there."""
        try:
            urllib.request.urlopen(self.address, timeout=30).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def get(self, path: str, **headers: str) -> Any:
        """Return what the REST API answers."""
        return self._ask(urllib.request.Request(self.address + path, headers=headers))

    def post(self, path: str, body: object) -> Any:
        """Have the REST API do something, and return what it answers."""
        content = {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(self.address + path, data=json.dumps(body).encode(), headers=content))

    def _ask(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            pytest.fail(f"{request.full_url}: {error.code} {error.read().decode(errors='replace')}")

    def logs(self) -> str:
        """Return the ends of what the components said, and the logs of the tasks."""
        files = [self.log, *sorted(self.home.glob("logs/dag_id=*/**/*.log"))]
        return "\n".join(f"== {file}\n{file.read_text(errors='replace')[-15000:]}" for file in files)


@contextmanager
def deployed(variables: dict[str, str]) -> Iterator[Deployment]:
    """Run an Airflow until its page has answered, and then until the tests are done."""
    log = Path(variables["AIRFLOW_HOME"]) / "standalone.txt"
    with log.open("wb") as output, standalone(variables | SETTINGS, output) as running:
        deployment = Deployment(Airflow(variables | SETTINGS), running, log)
        deployment.wait_for("page", deployment.answers)
        yield deployment
