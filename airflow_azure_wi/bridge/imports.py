"""Changes modules of others right after some other code imports them, without importing them itself.

``wrapt.register_post_import_hook`` does nearly the same. But importing wrapt costs every Airflow process 18 ms (wrapt
2.5.2 on Airflow 3.3.2, after ``import airflow``), and its hooks do not survive ``importlib.reload``.
"""

import functools
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from airflow_azure_wi.bridge import table
from airflow_azure_wi.provider import option_name

Action = Callable[[ModuleType], None]


def logger() -> logging.Logger:
    """Return the logger of the bridge."""
    return logging.getLogger("airflow_azure_wi.bridge")


@cache
def warn_once(message: str) -> None:
    """Log a warning, once in this process."""
    logger().warning(message)


def when_imported(name: str, action: Action) -> None:
    """Call ``action`` with a module each time it has been executed, and now if it is already imported.

    An exception in the action is logged and not raised: the code that imports the module does not know the bridge.
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
    # importlib.util.LazyLoader executes a module when an attribute is first read, as getattr() would do here.
    if type(module).__name__ == "_LazyModule":
        _act_after_execution(object.__getattribute__(module, "__spec__"))
    else:
        _run(action, module)


class _Finder:
    """Lets the other finders find a module that has actions, and wraps its loader."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}
        self._searching = threading.local()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders return; None for a module without actions."""
        # Other finders, such as that of wrapt, also ask all finders: this one must not start over then.
        if name not in self.actions or name in vars(self._searching):
            return None
        vars(self._searching)[name] = True
        try:
            specs = (_spec_from(finder, name, path, target) for finder in list(sys.meta_path) if finder is not self)
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            del vars(self._searching)[name]
        # A namespace package has no loader and executes nothing.
        if spec is not None and spec.loader is not None:
            _act_after_execution(spec)
        return spec


_finder = _Finder()


def _spec_from(finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    if hasattr(finder, "find_spec"):
        spec: ModuleSpec | None = finder.find_spec(name, path, target)
        return spec
    # Python up to 3.11 still calls find_module(); later versions skip such finders.
    if sys.version_info >= (3, 12) or not hasattr(finder, "find_module"):
        return None
    loader = finder.find_module(name, path)
    return None if loader is None else spec_from_loader(name, loader)


def _act_after_execution(spec: ModuleSpec) -> None:
    if not isinstance(object.__getattribute__(spec, "loader"), _Loader):
        spec.loader = _Loader(spec)  # type: ignore[assignment] # it passes for the loader


class _Loader:
    """Wraps a loader until it has executed the module, which then gets the original loader back.

    It has the methods of that loader and no others, and ``isinstance`` takes it for one of its class.
    """

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec
        self._loader: Any = spec.loader

    @property  # type: ignore[misc] # read by isinstance()
    def __class__(self) -> Any:
        return type(self._loader)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._loader, name)
        return {"exec_module": self._exec_module, "load_module": self._load_module}.get(name, attribute)

    def _exec_module(self, module: ModuleType) -> None:
        self._restore(module)
        self._loader.exec_module(module)
        self._act(module)

    def _load_module(self, name: str) -> ModuleType:
        module: ModuleType = self._loader.load_module(name)
        self._restore(module)
        self._act(module)
        return module

    def _restore(self, module: ModuleType) -> None:
        if self._spec.loader is self:  # type: ignore[comparison-overlap]
            self._spec.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader

    def _act(self, module: ModuleType) -> None:
        # The actions stay registered for the next reload.
        for action in tuple(_finder.actions.get(self._spec.name, ())):
            _run(action, module)


def _run(action: Action, module: ModuleType) -> None:
    try:
        action(module)
    except Exception:  # noqa: BLE001 - see when_imported()
        logger().exception(
            "The bridge to the stock Azure hooks failed in %s, which goes on without it. Report this with the versions "
            "of apache-airflow and apache-airflow-providers-microsoft-azure, and set %s = False meanwhile.",
            module.__name__,
            option_name("bridge_stock_hooks"),
        )


def patch(module: ModuleType, replacements: Mapping[str, Any]) -> None:
    """Replace the functions that the table lists for a module.

    :param replacements: by their names in the table.
    """
    for function in table.PATCHED_FUNCTIONS:
        if function.module == module.__name__:
            _patch(module, function, replacements[function.replacement])


def _patch(module: ModuleType, function: table.PatchedFunction, replacement: Any) -> None:
    owner: Any = module
    *path, name = function.name.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    # Not getattr(), which would hide that a method is static.
    original = None if owner is None else vars(owner).get(name)
    if function.is_partial and isinstance(original, functools.partial):
        state = (_calling(replacement, original.func), original.args, original.keywords, None)
        original.__setstate__(state)  # type: ignore[attr-defined] # as unpickling does: there is no other way
    elif original is None or function.is_partial:
        _warn_of_difference(module, function)
    elif isinstance(original, staticmethod):
        setattr(owner, name, staticmethod(_calling(replacement, original.__func__)))
    elif isinstance(original, property):
        setattr(owner, name, property(_calling(replacement, original.fget)))
    else:
        setattr(owner, name, _calling(replacement, original))


def _calling(replacement: Any, original: Any) -> Any:
    @functools.wraps(original, updated=())
    def patched(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    return patched


def _warn_of_difference(module: ModuleType, function: table.PatchedFunction) -> None:
    # The stock provider requires adlfs.
    provider = table.STOCK if function.module == "adlfs.spec" else table.provider_of(function.module)
    if provider is None:
        # Older versions of the other providers do not support Azure connections at all.
        return
    installed = _numbers(str(getattr(sys.modules.get(provider), "__version__", "")))
    if function.is_partial:
        warn_once(
            f"{module.__name__}.{function.name} is not the functools.partial that the bridge of airflow-azure-wi "
            "knows: stock hooks that use it make a DefaultAzureCredential for azure_workload_identity connections. "
            "Update airflow-azure-wi."
        )
    elif installed >= _numbers(function.since) and (not function.until or installed < _numbers(function.until)):
        warn_once(
            f"{module.__name__} has no {function.name}, which the bridge of airflow-azure-wi replaces: there, "
            "azure_workload_identity connections work as without the bridge. Update airflow-azure-wi."
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
