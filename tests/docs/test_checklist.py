"""docs/reference/checklist.md: each claim has a test or a source, and everything that has to be asked is answered."""

import re

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from tests.docs.pages import DOCS, ROOT
from tests.docs.test_assumptions import names_in

PAGE = (DOCS / "reference/checklist.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## (.*?)$(.*?)(?=^## |\Z)", PAGE))
ROWS = [
    tuple(line.strip("|").strip().split(" | "))
    for section in SECTIONS.values()
    for line in section.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| Claim", "| Package", "| `"))
]


def test_it_answers_what_has_to_be_asked() -> None:
    asked = ["Licence", "Versions", "Dependencies", "What it patches", "What it sends", "Performance", "Support"]
    assert [name for name, title in zip(asked, SECTIONS, strict=True) if not title.startswith(name)] == []


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_claim_names_a_test_or_a_source_that_is_there(row: tuple[str, ...]) -> None:
    _, held_by = row
    sources = held_by.split(", ")
    assert all(re.fullmatch("`[^`]+`", source) for source in sources), held_by
    for source in sources:
        file, _, test = source.strip("`").partition("::")
        assert (ROOT / file).is_file(), file
        assert not test or test in names_in(ROOT / file), source


def test_each_dependency_is_there_with_its_reason() -> None:
    listed = re.findall(r"(?m)^\| `(.+?)` \| (\S.+) \|$", SECTIONS["Dependencies"])
    wanted = ProjectMetadata(str(ROOT), PluginManager()).core.dependencies
    assert sorted(name.lower() for name, _ in listed) == sorted(wanted)
