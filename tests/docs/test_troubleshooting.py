"""Every code of Entra has one entry on the page, and every message that the page quotes is still raised somewhere."""

import ast
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

import airflow_azure_wi
from airflow_azure_wi.entra_errors import EXPLANATIONS
from airflow_azure_wi.testing import refusals
from tests.docs.pages import DOCS

PAGE = (DOCS / "how-to/troubleshooting.md").read_text(encoding="utf-8")
PACKAGE = Path(airflow_azure_wi.__file__).parent

# The heading of an entry: codes of Entra, or a message, `…` standing for what differs.
ENTRIES = re.findall(r"(?m)^### (.+)$", PAGE)
# What users read where Airflow swallows a message of this package.
OF_OTHERS = [Path(str(distribution("adlfs").locate_file("adlfs/spec.py")))]
SOURCES = [
    ast.parse(path.read_text(encoding="utf-8"))
    for path in [*(path for path in sorted(PACKAGE.rglob("*.py")) if "testing" not in path.parts), *OF_OTHERS]
]
CODES = {*EXPLANATIONS, *refusals._KINDS}


def pieces(message: ast.expr) -> str:
    """Return the text of a message as it stands in the source, `…` standing for what differs."""
    match message:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(pieces(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return pieces(left) + pieces(right)
        case ast.List(elts=[only]):
            return pieces(only)
    return "…"


def is_in(phrase: str, message: str) -> bool:
    """Whether a message reads as a phrase says."""
    # What logging fills in differs, too; and people search without the ends of lines.
    return phrase in " ".join(re.sub(r"%[.\d]*[sdf]", "…", message).split())


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_of_entra_has_an_entry(code: str) -> None:
    assert re.findall(r"AADSTS\d+", " ".join(ENTRIES)).count(code) == 1


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [pieces(node) for tree in SOURCES for node in ast.walk(tree) if isinstance(node, ast.expr)]


def body_of(entry: str) -> str:
    return PAGE.split(f"### {entry}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]


@pytest.mark.parametrize("phrase", [entry for entry in ENTRIES if not entry.startswith("AADSTS")])
def test_every_entry_is_still_said_or_has_the_source_of_somebody_else(phrase: str, texts: list[str]) -> None:
    is_ours = all(any(is_in(part.strip(), text) for text in texts) for part in phrase.split("…"))
    cause = body_of(phrase).partition("**Check.**")[0]
    assert is_ours or re.search(r"\]\(https://|\]\[[\w-]+\]", cause)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_says_cause_check_and_fix_and_has_a_command_to_copy(entry: str) -> None:
    body = body_of(entry)
    assert re.search(r"\*\*Cause\.\*\* .+?\*\*Check\.\*\* .+?\*\*Fix\.\*\* .", body, re.DOTALL)
    assert re.search(r"(?m)^```\w+$", body)


def test_no_entry_sends_the_reader_to_another_one() -> None:
    assert re.findall(r"(?i)\bas for\b|\bas above\b|\bsee above\b", PAGE) == []
