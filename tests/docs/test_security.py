"""What the page about security claims is held by tests that exist; what it lists is what the bridge shows."""

import ast
import re

import pytest

from airflow_azure_wi.bridge import table
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "explanation/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
WHO_CAN_DO_WHAT = PAGE.partition("## Who can do what")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_line_of_who_can_do_what_names_one() -> None:
    lines = re.findall(r"(?m)^\| can.*$", WHO_CAN_DO_WHAT)
    assert len(lines) > 15
    assert [line for line in lines if not re.search(r"\| `tests/[\w/]+\.py::\w+` \|$", line)] == []


@pytest.mark.parametrize("kind", sorted(set(table.SETTINGS.values())))
def test_the_page_lists_the_settings_that_are_shown(kind: str) -> None:
    rows = {frozenset(re.findall(r"`(\w+)`", row)) for row in re.findall(r"(?m)^\| .* \| (.*) \|$", PAGE)}
    assert frozenset(name for name, its in table.SETTINGS.items() if its == kind) in rows


def test_the_page_lists_the_extras_that_name_an_endpoint() -> None:
    [row] = re.findall(r"(?m)^\| The endpoint, .*$", PAGE)
    assert table.endpoint_extras() <= set(re.findall(r"`(\w+)`", row))
