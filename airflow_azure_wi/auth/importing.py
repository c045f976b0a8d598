"""Imports in a thread of their own, which the handler of a signal may ask for at any point.

In the thread that it interrupted, it would find modules of which only a part is there. In another one, the import waits
until the module is whole; if the interrupted code is what makes it whole, that is forever, and an error instead.
"""

import _thread
import importlib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneYet
from contextlib import suppress
from types import FrameType
from typing import Any

from airflow_azure_wi.errors import WorkloadIdentityError

# No import takes longer, on a slow disk either.
_LONGEST_SECONDS = 60.0
_POLL_SECONDS = 0.5

# Functions of importlib that wait for a module's lock. The module is in their local variable `name`.
_WAITING = frozenset({"_find_and_load", "_lock_unlock_module"})

_imported_already: dict[str, Any] = {}


def imported(name: str) -> Any:
    """Return a module, imported when it is first asked for.

    :raises WorkloadIdentityError: where the thread that asks was interrupted in an import that has to end first.
    """
    module = _imported_already.get(name)
    if module is None:
        do_import = _import_here if no_other_thread_can_import() else _import_in_a_thread
        module = _imported_already[name] = do_import(name)
    return module


def no_other_thread_can_import() -> bool:
    """Return whether this thread was interrupted looking for a module, which it does with the lock of all imports."""
    return any(frame.f_code.co_name == "_find_spec" for frame in _frames_of_importlib(sys._getframe()))


def _import_here(name: str) -> Any:
    """Import in this thread, where no other can."""
    try:
        return importlib.import_module(name)
    except (ImportError, AttributeError) as error:
        found = str(error)
    raise _cannot_be_imported(name, f"the code that was interrupted is importing what it takes ({found})")


def _import_in_a_thread(name: str) -> Any:
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(importlib.import_module(name))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for
            outcome.set_exception(error)

    deadline = time.monotonic() + _LONGEST_SECONDS
    try:
        thread = _thread.start_new_thread(run, ())
    except RuntimeError:
        # A process that is shutting down starts no threads.
        run()
        return outcome.result()
    held_up_before: str | None = None
    while not outcome.done():
        with suppress(NotDoneYet):
            outcome.exception(timeout=_POLL_SECONDS)
        held_up = _held_up_by_this_thread(thread)
        # Seen twice: this thread may itself have been about to wait for a module that a third one imports.
        if not outcome.done() and ((held_up and held_up == held_up_before) or time.monotonic() > deadline):
            raise _cannot_be_imported(name, _why(held_up))
        held_up_before = held_up
    return outcome.result()


def _held_up_by_this_thread(thread: int) -> str | None:
    """Return the module that another thread waits for because this one is importing it, or None."""
    awaited = next(_imports_in(sys._current_frames().get(thread)), None)
    return awaited if awaited in set(_imports_in(sys._getframe())) else None


def _imports_in(frame: FrameType | None) -> Iterator[str]:
    """Return the modules that a thread is importing or waits for, the innermost first."""
    return (found.f_locals["name"] for found in _frames_of_importlib(frame) if found.f_code.co_name in _WAITING)


def _frames_of_importlib(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            yield frame
        frame = frame.f_back


def _why(held_up: str | None) -> str:
    if held_up is None:
        return f"its import has not ended within {_LONGEST_SECONDS:.0f} s"
    return f"the code that was interrupted, by a signal for example, is importing {held_up}, and that has to end first"


def _cannot_be_imported(name: str, why: str) -> WorkloadIdentityError:
    return WorkloadIdentityError(
        f"{name} cannot be imported: {why}.\n"
        "Next step: where on_kill() or another handler of signals signs in, call get_credential() of the hook once at "
        "the beginning of execute(), which imports everything that signing in takes."
    )
