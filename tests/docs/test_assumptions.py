"""Each assumption about somebody else's system has a source, and a test that holds it or the word unverified."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "explanation/assumptions.md").read_text(encoding="utf-8")
GROUPS = [
    "Microsoft Entra ID",
    "AKS",
    "The official Helm chart",
    "Astro",
    "Airflow",
    "Azure Database for PostgreSQL",
    "Azure Database for MySQL",
    "The Azure SDK",
    "The package index, and Airflow's registry of providers",
]
# Assumption, source, tests.
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| Assumption"))
]


def names_in(file: Path) -> set[str]:
    """Return the names of the tests in a file, as pytest shows them."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)}
    return names


def test_the_page_has_the_groups_and_their_rows() -> None:
    assert re.findall(r"(?m)^## (.+)$", PAGE) == GROUPS
    assert len(ROWS) == len(set(ROWS)) > len(GROUPS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_row_has_a_source_and_a_test_that_is_there(row: tuple[str, ...]) -> None:
    assumption, source, held_by = row
    assert re.search(r"\]\(https://\S+\)|\bmeasured\b", source)
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", held_by)
    assert named or "unverified" in assumption
    for file, name in named:
        assert name in names_in(ROOT / file), f"{file} has no {name}"
