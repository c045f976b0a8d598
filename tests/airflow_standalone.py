"""A whole Airflow with its web page, as `airflow standalone` starts it. tests/ui and `dev/demo` run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil


@dataclass(frozen=True)
class Standalone:
    """An Airflow that runs.

    :ivar address: of its web page.
    :ivar process: the one that started all others.
    """

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def standalone(variables: Mapping[str, str], output: IO[bytes] | None = None) -> Iterator[Standalone]:
    """Run the Airflow of this Python; its page answers a moment later.

    :param variables: the environment of all its components.
    :param output: where they write what they say, instead of the terminal.
    """
    page, worker_logs, trigger_logs = free_ports(3)
    address = f"http://127.0.0.1:{page}"
    settings = _page_settings(address, page) | {
        # The default ports may be taken, by another Airflow for example.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
    }
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "airflow"), "standalone"],
        env=dict(variables) | settings,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield Standalone(address, process)
    finally:
        end(process)


def _page_settings(address: str, port: int) -> dict[str, str]:
    """Return what each Airflow calls these settings: the first are read by 3, the others by 2.11."""
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__BASE_URL": address,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
    }


def free_ports(count: int) -> list[int]:
    """Return ports that differ, because all are held until the last is found."""
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def end(process: subprocess.Popen[bytes]) -> None:
    """End all that it started at once, some of it in process groups of their own."""
    parts = []
    with suppress(psutil.NoSuchProcess):
        parts = psutil.Process(process.pid).children(recursive=True)
    # Parts whose parent is gone are still in the group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for part in parts:
        with suppress(psutil.NoSuchProcess):
            part.kill()
    process.wait()
