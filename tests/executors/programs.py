"""Programs that run beside a test, each with a log, and end with it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 180
_END_SECONDS = 20


@dataclass(frozen=True)
class Program:
    """A running program, the leader of a process group that holds all that it started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, is_ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait until it is ready; fail the test with what it said if it ends before, or takes too long."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.must_be_running()
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name} was not ready within {seconds:.0f} seconds:\n{self.said()}")
            time.sleep(0.1)

    def must_be_running(self) -> None:
        if self.process.poll() is not None:
            pytest.fail(f"{self.name} ended with {self.process.returncode}:\n{self.said()}")

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-6000:]

    def end(self, stop_signal: int = signal.SIGTERM) -> None:
        """End it and all that it started.

        :param stop_signal: what asks it to end in good order.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        # Its parts may outlive it.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(
    name: str,
    command: list[str],
    log: Path,
    variables: Mapping[str, str] | None = None,
    *,
    user: str | None = None,
    stop_signal: int = signal.SIGTERM,
) -> Iterator[Program]:
    """Run a program, and end it and all that it started.

    :param user: the user to run it as, or None for this one.
    :param stop_signal: what asks it to end in good order.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    program = Program(name, process, log)
    try:
        yield program
    finally:
        program.end(stop_signal)
