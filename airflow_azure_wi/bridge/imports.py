"""Doing something right after a module is imported by someone else, without importing it.

``wrapt.register_post_import_hook`` does nearly that, but importing wrapt costs every Airflow process 18 ms (wrapt 2.5.2
on Airflow 3.3.2, after ``import airflow``), and what it registers is gone after ``importlib.reload``.
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
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
    """Call ``action`` with a module whenever it has been executed; at once, if it already is.

    An exception of the action is logged: it must not break an import that has nothing to do with it.
    """
    if not any(finder is _finder for finder in sys.meta_path):
        sys.meta_path.insert(0, _finder)
    actions = _finder.actions.setdefault(name, [])
    if action in actions:
        return
    actions.append(action)
    module = sys.modules.get(name)
    if module is None:
        return
    if _waits_for_its_first_use(module):
        _act_after_execution(object.__getattribute__(module, "__spec__"))
    else:
        _run(action, module)


class _Finder:
    """Finds a module that is waited for as Python would without it, and has the actions run after its execution."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}
        self._searching = threading.local()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders have for it, or None where nobody waits for the module."""
        # A finder that asks all finders in its turn, as that of wrapt does, must not come back here.
        if name not in self.actions or name in vars(self._searching):
            return None
        vars(self._searching)[name] = True
        try:
            spec = _found_by_others(name, path, target)
        finally:
            del vars(self._searching)[name]
        # A namespace package has no loader: there is nothing to execute.
        if spec is not None and spec.loader is not None:
            _act_after_execution(spec)
        return spec


_finder = _Finder()


def _found_by_others(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        if finder is not _finder and (spec := _found_by(finder, name, path, target)) is not None:
            return spec
    return None


def _found_by(finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Ask one finder as Python does, which before 3.12 falls back to ``find_module``, and skips such a finder since."""
    if hasattr(finder, "find_spec"):
        found: ModuleSpec | None = finder.find_spec(name, path, target)
        return found
    if sys.version_info >= (3, 12) or not hasattr(finder, "find_module"):
        return None
    loader = finder.find_module(name, path)
    return None if loader is None else spec_from_loader(name, loader)


def _waits_for_its_first_use(module: ModuleType) -> bool:
    """Whether it is a module of ``importlib.util.LazyLoader``, which is executed when an attribute is asked for."""
    return type(module).__name__ == "_LazyModule"


def _act_after_execution(spec: ModuleSpec) -> None:
    if not isinstance(object.__getattribute__(spec, "loader"), _Loader):
        spec.loader = _Loader(spec)  # type: ignore[assignment] # it has what the loader has


class _Loader:
    """A loader until it has executed its module: then the module has the loader that it would have without us.

    It has the methods of that loader and no others, passes for one of its class, and changes nothing of it.
    """

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec
        self._loader: Any = spec.loader

    @property  # type: ignore[misc] # what isinstance() asks for
    def __class__(self) -> Any:
        return type(self._loader)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._loader, name)
        if name == "exec_module":
            return self._exec_module
        return self._load_module if name == "load_module" else attribute

    def _exec_module(self, module: ModuleType) -> None:
        self._leave(module)
        self._loader.exec_module(module)
        self._act(module)

    def _load_module(self, name: str) -> ModuleType:
        module: ModuleType = self._loader.load_module(name)
        self._leave(module)
        self._act(module)
        return module

    def _leave(self, module: ModuleType) -> None:
        if self._spec.loader is self:  # type: ignore[comparison-overlap]
            self._spec.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader

    def _act(self, module: ModuleType) -> None:
        # They stay for the next time: reloading a module executes it again.
        for action in tuple(_finder.actions.get(self._spec.name, ())):
            _run(action, module)


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
