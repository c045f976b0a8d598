"""Functions run in forked processes, also as another user or with a disk that takes nothing."""

import multiprocessing
import os
import resource
from collections.abc import Callable
from multiprocessing.synchronize import Event
from typing import Any

import pytest

NOBODY = 65534
_forking = multiprocessing.get_context("fork")


class Running:
    """As many processes as wanted, each of which runs a function once."""

    def __init__(self, count: int, action: Callable[[], Any]) -> None:
        self._results = _forking.SimpleQueue()
        self.processes = [_forking.Process(target=self._run, args=(action,)) for _ in range(count)]
        for process in self.processes:
            process.start()

    def results(self, seconds: float = 60) -> list[Any]:
        """Wait for all; an exception stands for what was returned."""
        for process in self.processes:
            process.join(seconds)
            assert process.exitcode == 0
        return [self._results.get() for _ in self.processes]

    def _run(self, action: Callable[[], Any]) -> None:
        try:
            result = action()
        except BaseException as error:
            result = repr(error)
        self._results.put(result)


def event() -> Event:
    """Return an event that processes forked from now on share."""
    return _forking.Event()


def in_process(action: Callable[[], Any]) -> Any:
    [result] = Running(1, action).results()
    return result


def as_nobody(action: Callable[[], Any]) -> Any:
    """Run a function as another user."""
    if os.geteuid() != 0:
        pytest.fail("This test acts as another user, which only root can: run it as root, as CI does")

    def act() -> Any:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return action()

    return in_process(act)


def write_no_more() -> None:
    """Let writing to any file fail in this process from now on, as it does on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
