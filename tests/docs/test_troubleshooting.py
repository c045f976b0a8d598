"""Whoever searches the page for the code or the text of an error finds its entry."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_azure_wi
from airflow_azure_wi import errors
from airflow_azure_wi.testing import refusals
from tests.docs.pages import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
PACKAGE = Path(airflow_azure_wi.__file__).parent

# An entry, or a row of one of the tables: what to search for, `…` standing for what differs.
ENTRIES = re.findall(r"(?m)^### (.+)$", PAGE)
PHRASES = [*ENTRIES, *re.findall(r"(?m)^\| `([^`]+)` \|", PAGE)]
SOURCES = [
    ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if "testing" not in path.relative_to(PACKAGE).parts
]
CODES = {*errors.EXPLANATIONS, *refusals._KINDS}

_KINDS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
_OUR_ERRORS = _KINDS | {"PreflightError", "UsageError"}
_SAYING = _OUR_ERRORS | {"warn_once", "warning"}


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


def said_in(tree: ast.AST) -> Iterator[str]:
    """Return each message: of an exception or a warning, or of a problem that an exception will list."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _SAYING or (name == "append" and "problems" in ast.unparse(node.func)):
                yield from (pieces(argument) for argument in node.args)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("problems_of_"):
            yield from (pieces(y.value) for y in ast.walk(node) if isinstance(y, ast.Yield) and y.value)


def messages() -> list[str]:
    found = [text for tree in SOURCES for text in said_in(tree)]
    # What is left of the others is no text of ours: a variable, or the name of a source before the text.
    return [text for text in found if len(text.replace("…", "").split()) > 2]


def is_in(phrase: str, message: str) -> bool:
    """Whether a message reads as a phrase says."""
    # What logging fills in differs, too; and people search without the ends of lines.
    return phrase in " ".join(re.sub(r"%[.\d]*[sdf]", "…", message).split())


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_of_entra_has_an_entry(code: str) -> None:
    assert code in ENTRIES


@pytest.mark.parametrize("kind", sorted(_OUR_ERRORS - {"WorkloadIdentityError"}))
def test_every_kind_of_error_is_named(kind: str) -> None:
    assert re.search(rf"\b{kind}\b", PAGE)


@pytest.mark.parametrize("message", messages())
def test_every_message_has_an_entry(message: str) -> None:
    assert [phrase for phrase in PHRASES if is_in(phrase, message)], f"docs/troubleshooting.md: {message}"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [pieces(node) for tree in SOURCES for node in ast.walk(tree) if isinstance(node, ast.expr)]


@pytest.mark.parametrize("phrase", [phrase for phrase in PHRASES if not re.fullmatch(r"AADSTS\d+|\w+Error", phrase)])
def test_every_entry_is_still_said(phrase: str, texts: list[str]) -> None:
    assert any(is_in(phrase, text) for text in texts)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_says_cause_check_and_mend(entry: str) -> None:
    body = PAGE.split(f"### {entry}\n", 1)[1].split("\n#", 1)[0]
    assert re.search(r"\*\*Cause\.\*\* .+?\*\*Check\.\*\* .+?\*\*Mend\.\*\* .", body, re.DOTALL)
