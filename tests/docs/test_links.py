"""Links of the pages outside of the site lead somewhere. (Those inside are Sphinx' to check, in nox -s docs.)"""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

LINKS = [
    pytest.param(page, target, id=f"{page.name}: {target}")
    for page in sorted(ROOT.glob("*.md"))
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    if not target.startswith("https://")
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_the_file_is_there(page: Path, target: str) -> None:
    assert (page.parent / target.partition("#")[0]).exists()


def test_readme_leads_to_the_docs() -> None:
    assert {"docs/index.md", "docs/how-to/troubleshooting.md"} <= {link.values[1] for link in LINKS}
