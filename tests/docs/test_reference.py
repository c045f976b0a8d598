"""The reference is complete and current."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev._airflows import PINS, TARGETS
from dev._reference import WITH_VERSIONS, command_line, configuration, with_versions
from dev._release import CHECKLIST, SBOM, checklist, sbom
from tests.docs.pages import DOCS

API = (DOCS / "reference/api.md").read_text(encoding="utf-8")

# Where the names are that DAG authors and their tests import.
PUBLIC = (
    "airflow_azure_wi",
    "airflow_azure_wi.doctor",
    "airflow_azure_wi.errors",
    "airflow_azure_wi.hooks.azure_workload_identity",
    "airflow_azure_wi.preflight",
    "airflow_azure_wi.testing",
)


def names_of(module_name: str) -> Iterator[tuple[str, Any]]:
    """Return what a module exports or, where it does not say, the classes and functions that are defined in it."""
    module = importlib.import_module(module_name)
    exported = getattr(module, "__all__", None)
    for name in exported or [name for name in vars(module) if not name.startswith("_")]:
        value = getattr(module, name)
        is_own = exported is not None or getattr(value, "__module__", None) == module_name
        if is_own and (inspect.isclass(value) or inspect.isfunction(value)):
            yield name, value


NAMES = [
    pytest.param(module, name, value, id=f"{module}.{name}") for module in PUBLIC for name, value in names_of(module)
]


@pytest.mark.parametrize(("module", "name", "value"), NAMES)
def test_every_public_name_is_in_the_reference_and_has_a_docstring(module: str, name: str, value: Any) -> None:
    in_its_module = re.search(rf"automodule:: {re.escape(module)}\n   :members:(.*)", API)
    by_itself = re.search(rf"auto(class|function):: {re.escape(value.__module__)}\.{name}\n", API)
    listed = in_its_module and (not in_its_module[1].strip() or name in re.split(r"[ ,]+", in_its_module[1]))
    assert listed or by_itself, f"docs/reference/api.md has no {module}.{name}"
    assert value.__doc__
    for method_name, method in vars(value).items() if inspect.isclass(value) else ():
        if not method_name.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
            assert method.__doc__ or overrides(value, method_name), f"{name}.{method_name} has no docstring"


def overrides(kind: type, name: str) -> bool:
    return any(hasattr(base, name) for base in kind.__mro__[1:])


def test_every_public_method_of_the_hook_has_its_place_on_its_page() -> None:
    from airflow_azure_wi import AzureWorkloadIdentityHook as Hook

    page = (DOCS / "how-to/hook.md").read_text(encoding="utf-8")
    methods = [name for name, value in vars(Hook).items() if inspect.isfunction(value) and not name.startswith("_")]
    headings = " ".join(re.findall(r"(?m)^## .*$", page))
    assert len(methods) > 10
    assert [name for name in methods if f"`{name}`" not in headings] == []
    assert [name for name in methods if f".{name}(" not in page] == []


@pytest.mark.parametrize(("name", "page"), [("command-line", command_line), ("configuration", configuration)])
def test_a_generated_page_is_current(name: str, page: Callable[[], str]) -> None:
    assert page() == (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8"), "run ./dev/nox -s reference"


def test_the_sbom_is_current() -> None:
    assert SBOM.read_text(encoding="utf-8") == sbom(), "./dev/nox -s reference writes it"


def test_the_checklist_is_current() -> None:
    assert CHECKLIST.read_text(encoding="utf-8") == checklist(), "./dev/nox -s reference writes it"


@pytest.mark.parametrize("page", WITH_VERSIONS, ids=lambda page: page.stem)
def test_the_table_of_versions_is_current(page: Path) -> None:
    assert with_versions(page) == page.read_text(encoding="utf-8"), "run ./dev/nox -s reference"


def test_every_pin_file_is_that_of_an_airflow_in_the_table() -> None:
    assert set(PINS.glob("airflow-*.txt")) == {target.pins for target in TARGETS}
