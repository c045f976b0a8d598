"""Every recipe says what it needs and how it was tested, which is so, and is found on its page."""

import ast
import re
from pathlib import Path

import pytest

from airflow_azure_wi import example_dags
from tests.docs.pages import DOCS, ROOT

RECIPES = sorted(Path(example_dags.__file__).parent.glob("recipe_*.py"))
FOLDER = DOCS / "how-to" / "recipes"
TABLE = (FOLDER / "index.md").read_text(encoding="utf-8")
# Where a recipe's section is: page and anchor.
SECTIONS = {
    f"{page.name}#" + re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-"): section
    for page in FOLDER.glob("*.md")
    for heading, section in re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", page.read_text(encoding="utf-8"))
}
TESTED = (DOCS / "explanation" / "tested.md").read_text(encoding="utf-8")


def test_there_are_recipes() -> None:
    assert len(RECIPES) > 10


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_says_what_it_does_what_it_needs_and_how_it_was_tested(recipe: Path) -> None:
    says = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8"))) or ""
    assert re.match(r"\S.*\.\n\n", says), "first one line: what it does"
    assert re.search(r"(?m)^Install: \S", says)
    assert len(re.findall(r"\bTested by \S", says)) == 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_is_run_by_a_test(recipe: Path) -> None:
    tests = [test.read_text(encoding="utf-8") for test in (ROOT / "tests" / "recipes").glob("test_*.py")]
    assert any(f'"{recipe.stem}"' in test for test in tests)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_is_in_the_table_on_its_page_and_among_what_was_tested(recipe: Path) -> None:
    included = f"{{literalinclude}} ../../../airflow_azure_wi/example_dags/{recipe.name}\n"
    [section] = [place for place, text in SECTIONS.items() if included in text]
    assert len(re.findall(rf"(?m)^\| \[.+\]\({re.escape(section)}\) \|", TABLE)) == 1
    assert f"| `{recipe.stem}` |" in TESTED
