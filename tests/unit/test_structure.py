"""How the package is built: imports point down, private names stay at home, and modules are few and round."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import airflow_azure_wi

PACKAGE = airflow_azure_wi.__name__
FOLDER = Path(airflow_azure_wi.__file__).parent

# From the ground up: a module imports from lower floors and from its own package. One that is not named here, nor its
# package, is on the ground: it imports neither Airflow nor Azure.
FLOORS = (
    ("federation",),
    ("auth",),
    ("airflow_compat",),
    ("doctor",),
    ("hooks",),
    ("bridge", "cli", "page", "preflight"),
    ("__main__", "testing", "example_dags"),
    ("pytest_plugin",),
)

# Imports that point up or go in a circle, each with its reason.
EXCEPTIONS = {
    ("__init__", "hooks.azure_workload_identity"): "`from airflow_azure_wi import AzureWorkloadIdentityHook`",
}

# Taken over from another module of the package although they are private.
PRIVATE: dict[str, str] = {}

# How many modules there may be: 50, and two for what is no stock hook (bridge).
BUDGETS = {
    "": 17,
    "auth": 10,  # one of them for metrics
    "bridge": 8,  # two of them for Airflow's own database and for hooks of other providers
    "cli": 5,
    "doctor": 5,
    "federation": 6,
    "hooks": 2,
}
UNCOUNTED = {"testing", "example_dags", "page"}

# Modules under 40 lines, at most 8, each with its reason.
SMALL = {
    "__init__": "the package's front door: it costs nothing until the names are used",
    "__main__": "Python looks for it here",
    "hooks": "makes a package of the folder that Airflow finds the hook in",
    "bridge": "makes a package of the folder, and says what it is for",
}


class Import(NamedTuple):
    """An import of something of this package: by which module, from which, and the name if it is no module."""

    importer: str
    module: str
    name: str = ""


def modules() -> dict[str, Path]:
    """Return the file of each module, by its name without that of the package."""
    files = sorted(FOLDER.rglob("*.py"))
    return {name_of(file) or "__init__": file for file in files}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(FOLDER).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = modules()
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def imported(name: str) -> Iterator[str]:
    """Return what a module imports of anyone, in functions too, as whole dotted names."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> Iterator[Import]:
    """Return what a module imports of this package."""
    for dotted in imported(name):
        if dotted == PACKAGE or dotted.startswith(f"{PACKAGE}."):
            own = dotted.removeprefix(PACKAGE).removeprefix(".")
            if own in MODULES:
                yield Import(name, own)
            else:
                module, _, attribute = own.rpartition(".")
                yield Import(name, module or "__init__", attribute)


IMPORTS = [each for name in MODULES for each in own_imports(name)]


def floor_of(module: str) -> tuple[int, str]:
    """Return the floor of a module, and what it shares the floor with: its package, or all of the ground."""
    first = module.split(".")[0]
    for floor, names in enumerate(FLOORS, start=1):
        if first in names:
            return floor, first
    return 0, ""


def points_down(importer: str, module: str) -> bool:
    (upper, own_package), (lower, package) = floor_of(importer), floor_of(module)
    return lower < upper or own_package == package


def test_imports_point_down() -> None:
    up = {(importer, module) for importer, module, _ in IMPORTS if not points_down(importer, module)}
    assert up <= set(EXCEPTIONS), f"these point up: {sorted(up - set(EXCEPTIONS))}"
    assert len(IMPORTS) > 200


def test_no_imports_make_a_circle() -> None:
    ways: dict[str, set[str]] = {}
    for importer, module, _ in IMPORTS:
        if (importer, module) not in EXCEPTIONS and importer != module:
            ways.setdefault(importer, set()).add(module)
    TopologicalSorter(ways).prepare()


def test_exceptions_are_needed() -> None:
    ways = {(importer, module) for importer, module, _ in IMPORTS}
    assert set(EXCEPTIONS) <= ways, f"remove: {sorted(set(EXCEPTIONS) - ways)}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_attributes(name: str) -> Iterator[str]:
    """Return the private names that a module reads as attributes of modules of this package."""
    tree = TREES[name]
    bound = {
        alias.asname or alias.name.rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == PACKAGE
        for alias in node.names
        if f"{node.module}.{alias.name}".removeprefix(f"{PACKAGE}.") in MODULES
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in bound:
                yield f"{owner.id}.{node.attr}"


def test_private_names_stay_in_their_module() -> None:
    found = [
        f"{importer} takes {module}.{name}".rstrip(".")
        for importer, module, name in IMPORTS
        if (is_private(name) or any(map(is_private, module.split(".")))) and module not in PRIVATE
    ]
    found += [f"{name} reads {attribute}" for name in MODULES for attribute in private_attributes(name)]
    assert not found


@pytest.mark.parametrize("package", BUDGETS)
def test_modules_are_few(package: str) -> None:
    names = [name for name in MODULES if package_of(name) == package]
    assert len(names) <= BUDGETS[package], names


def test_all_packages_have_a_budget() -> None:
    assert {package_of(name) for name in MODULES} - UNCOUNTED == set(BUDGETS)


def test_small_modules_have_a_reason() -> None:
    small = {
        name
        for name, file in MODULES.items()
        if package_of(name) not in UNCOUNTED and len(file.read_text(encoding="utf-8").splitlines()) < 40
    }
    assert small == set(SMALL)


def package_of(name: str) -> str:
    first = name.split(".")[0]
    return first if (FOLDER / first).is_dir() else ""


def test_the_ground_has_neither_airflow_nor_azure() -> None:
    ground = [name for name in MODULES if floor_of(name)[0] == 0 or name.startswith("federation")]
    assert len(ground) > 10
    found = [
        f"{name} imports {dotted}"
        for name in ground
        for dotted in imported(name)
        if dotted.split(".")[0] in {"airflow", "azure"}
    ]
    assert not found
