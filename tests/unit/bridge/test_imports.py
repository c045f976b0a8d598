"""Doing something after a module is imported, with modules made for the purpose."""

import importlib
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from airflow_azure_wi.bridge.imports import when_imported

NAME = "made_for_a_test"


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that no other test waits for."""
    name = f"made_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    return tmp_path


def double(module: ModuleType) -> None:
    module.value *= 2


def test_it_happens_after_the_import_and_once(name: str) -> None:
    when_imported(name, double)
    assert name not in sys.modules, "waiting imports nothing"
    assert importlib.import_module(name).value == 2
    assert importlib.import_module(name).value == 2


def test_it_happens_at_once_if_the_module_is_there_and_once_if_asked_twice(name: str) -> None:
    module = importlib.import_module(name)
    for _ in range(2):
        when_imported(name, double)
    assert module.value == 2


def test_looking_for_a_module_is_not_importing_it(name: str) -> None:
    without = importlib.util.find_spec(name)
    when_imported(name, double)
    spec = importlib.util.find_spec(name)
    assert isinstance(spec.loader, type(without.loader))
    assert name not in sys.modules
    assert importlib.import_module(name).value == 2


def test_a_failure_breaks_no_import(name: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(module: ModuleType) -> None:
        raise RuntimeError("not what I know")

    when_imported(name, fail)
    with caplog.at_level(logging.ERROR, logger="airflow_azure_wi.bridge"):
        assert importlib.import_module(name).value == 1
    assert name in caplog.text
    assert "bridge_stock_hooks = False" in caplog.text


def test_the_module_keeps_its_loader_and_origin(name: str) -> None:
    without = importlib.util.find_spec(name)
    when_imported(name, double)
    module = importlib.import_module(name)
    spec = module.__spec__
    assert type(spec.loader) is type(module.__loader__) is type(without.loader)
    assert (spec.origin, spec.cached) == (without.origin, without.cached)


# Each is run in a process of its own, before and after what waits for the module is registered; then the value is
# looked at.
REGISTER = """
import importlib, importlib.abc, importlib.machinery, importlib.util, sys
from airflow_azure_wi.bridge.imports import when_imported
times = []
def act(module):
    module.value += 1
    times.append(module)
"""
LOADER = f"""
class Finder:
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, Loader()) if name == "{NAME}" else None
sys.meta_path.insert(0, Finder())
"""
WRAPT = f"""
import wrapt
wrapt.register_post_import_hook(lambda module: setattr(module, "of_others", module.value), "{NAME}")
"""
LAZILY = f"""
spec = importlib.util.find_spec("{NAME}")
spec.loader = importlib.util.LazyLoader(spec.loader)
module = importlib.util.module_from_spec(spec)
sys.modules["{NAME}"] = module
spec.loader.exec_module(module)
"""
SITUATIONS = {
    "wrapt registered before": (WRAPT, "import made_for_a_test as it; assert it.of_others in (1, 2)"),
    "wrapt registered after": ("", f"{WRAPT}\nimport made_for_a_test as it; assert it.of_others in (1, 2)"),
    "a finder without find_spec": (
        "sys.meta_path.insert(0, type('Finder', (), {})())",
        "import made_for_a_test as it",
    ),
    "a finder that finds by find_module": (
        f"""
class Finder:
    def find_module(self, name, path=None):
        return importlib.machinery.PathFinder.find_spec(name, path).loader if name == "{NAME}" else None
sys.meta_path.insert(0, Finder())
""",
        "import made_for_a_test as it",
    ),
    "a loader without exec_module": (
        f"""
from types import ModuleType
from uuid import uuid4
class Loader:
    def load_module(self, name):
        module = sys.modules[name] = ModuleType(name)
        module.value = 1
        return module
{LOADER}
""",
        "import made_for_a_test as it; assert type(it.__spec__.loader) is Loader, it.__spec__",
    ),
    "a loader with slots": (
        f"""
class Loader(importlib.abc.Loader):
    __slots__ = ()
    def exec_module(self, module):
        module.value = 1
{LOADER}
""",
        "import made_for_a_test as it; assert type(it.__loader__) is Loader",
    ),
    "a loader that is asked by hand": (
        "",
        f"it = importlib.util.find_spec('{NAME}').loader.load_module('{NAME}')",
    ),
    "a module from its spec": (
        "",
        f"spec = importlib.util.find_spec('{NAME}'); it = importlib.util.module_from_spec(spec); "
        "spec.loader.exec_module(it)",
    ),
    "lazily, found with us": ("", f"{LAZILY}\nassert not times\nit = module"),
    "lazily, found before us": (LAZILY, "assert not times\nit = module"),
    "reloaded": ("", "import made_for_a_test as it; importlib.reload(it)"),
    "reloaded, imported before us": ("import made_for_a_test as it", "importlib.reload(it)"),
    "imported again": ("", f"import {NAME}; del sys.modules['{NAME}']\nimport made_for_a_test as it"),
    "pkgutil looks at all modules": (
        "",
        "import pkgutil; list(pkgutil.walk_packages(sys.path[:1]))\nassert not times\nimport made_for_a_test as it",
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_happens_whoever_else_takes_part_in_imports(situation: str, made: Path) -> None:
    before, after = SITUATIONS[situation]
    wait = f"when_imported('{NAME}', act)"
    in_a_new_process("\n".join([REGISTER, before, wait, after, "assert it.value == 2, it.value"]), made)


def test_a_module_that_python_does_not_find_is_still_not_found(made: Path) -> None:
    check = """
when_imported("not_there", act)
assert importlib.util.find_spec("not_there") is None
try:
    import not_there
except ModuleNotFoundError as error:
    assert error.name == "not_there"
"""
    in_a_new_process(REGISTER + check, made)


def test_a_namespace_package_has_nothing_to_execute_and_its_modules_do(made: Path) -> None:
    (made / "namespace").mkdir()
    (made / "namespace" / "inner.py").write_text("value = 1\n")
    check = """
when_imported("namespace", act)
when_imported("namespace.inner", act)
import namespace.inner
assert namespace.__file__ is None
assert namespace.inner.value == 2
assert times == [namespace.inner]
"""
    in_a_new_process(REGISTER + check, made)


def test_what_a_module_raises_is_raised_as_without_us(made: Path) -> None:
    (made / "broken.py").write_text("raise ZeroDivisionError\n")
    check = """
when_imported("broken", act)
for _ in range(2):
    try:
        import broken
    except ZeroDivisionError:
        assert "broken" not in sys.modules
    else:
        raise AssertionError
assert not times
"""
    in_a_new_process(REGISTER + check, made)


def in_a_new_process(script: str, folder: Path) -> None:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
