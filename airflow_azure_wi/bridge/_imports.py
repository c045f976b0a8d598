"""Doing something right after a module is imported by someone else, without importing it."""

import logging
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]


def logger() -> logging.Logger:
    """Where the bridge says what it could not do."""
    return logging.getLogger("airflow_azure_wi.bridge")


@cache
def warn_once(message: str) -> None:
    """Log a warning, once in this process."""
    logger().warning(message)


def when_imported(name: str, action: Action) -> None:
    """Call ``action`` with a module once it is executed; at once, if it is already.

    An exception of the action is logged: it must not break an import that has nothing to do with it.
    """
    module = sys.modules.get(name)
    if module is not None:
        _run(action, module)
        return
    if not any(finder is _finder for finder in sys.meta_path):
        sys.meta_path.insert(0, _finder)
    _finder.actions.setdefault(name, []).append(action)


class _Finder:
    """Finds a module that is waited for as Python would without it, and has the actions run after its execution."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders have for it, or None where nobody waits for the module."""
        if name not in self.actions:
            return None
        spec = _found_by_others(name, path, target)
        if spec is not None and spec.loader is not None:
            _act_after_execution(spec.loader)
        return spec


_finder = _Finder()


def _found_by_others(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        if finder is not _finder and (spec := finder.find_spec(name, path, target)) is not None:
            return spec
    return None


def _act_after_execution(loader: Any) -> None:
    execute = loader.exec_module

    def execute_and_act(module: ModuleType) -> None:
        execute(module)
        # Only now: looking for a module, as importlib.util.find_spec does, does not execute it.
        for action in _finder.actions.pop(module.__name__, ()):
            _run(action, module)

    # The type of the loader stays as it is, for those who look at it.
    loader.exec_module = execute_and_act


def _run(action: Action, module: ModuleType) -> None:
    try:
        action(module)
    except Exception:  # noqa: BLE001 - whoever imports the module has nothing to do with the bridge
        logger().exception(
            "The bridge to the stock Azure hooks failed in %s, which goes on without it. Report this with the versions "
            "of apache-airflow and apache-airflow-providers-microsoft-azure, and set [azure_workload_identity] "
            "bridge_stock_hooks = False meanwhile.",
            module.__name__,
        )
