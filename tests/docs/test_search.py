"""The site's own search leads from an error to its place on the page, by Sphinx' script and the index of a build."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi.testing.node import node_command
from tests.docs.pages import DOCS

# Long enough for a slow machine to build the site; nothing here waits for a time to pass.
pytestmark = pytest.mark.timeout(400)

# Reads questions as a JSON array, and prints page, anchor and title of the first answer to each.
ASK = """
const fs = require("fs"), vm = require("vm"), path = require("path");
const site = process.argv[1];
const element = { replaceChildren() {}, firstChild: null, lastChild: null, dataset: {} };
const globals = {
  console, URLSearchParams, location: { search: "" }, localStorage: { setItem() {} },
  document: { getElementById: () => element, querySelector: () => element, documentElement: element,
    addEventListener() {}, readyState: "loading", createElement: () => element },
  DOCUMENTATION_OPTIONS: {}, SPHINX_HIGHLIGHT_ENABLED: false, _ready() {},
};
globals.window = globals;
const context = vm.createContext(globals);
for (const script of ["_static/language_data.js", "_static/searchtools.js", "searchindex.js"])
  vm.runInContext(fs.readFileSync(path.join(site, script), "utf8"), context, script);
context.questions = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(vm.runInContext(`JSON.stringify(questions.map((question) => {
  const best = Search._performSearch(...Search._parseQuery(question)).at(-1);
  return best ? [best[0], best[2], best[1]] : null;
}))`, context));
"""


def headings(page: Path) -> list[str]:
    return [heading.replace("\\", "") for heading in re.findall(r"(?m)^### (.+)$", page.read_text(encoding="utf-8"))]


# What a reader pastes, and the heading that it has to lead to; a code leads to an anchor of its own name.
HEADINGS = headings(DOCS / "how-to/troubleshooting.md")
CODES = sorted({code for heading in HEADINGS for code in re.findall(r"AADSTS\d+", heading)})
SYMPTOMS = {
    name.replace("… ", ""): heading
    for heading in HEADINGS
    if not heading.startswith("AADSTS")
    for text, _, code in [heading.rstrip(")").partition(" (")]
    for name in (text, code, code.removeprefix("403 "))
    if name
}
# Words that people search for, and the page that explains them.
PAGES = {"monkeypatch": "explanation/patches", "DefaultAzureCredential": "how-to/migrate"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as nox -s docs builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=350)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def answers(site: Path) -> dict[str, Any]:
    """The first answer to every question, which one process of Node.js finds."""
    questions = [*CODES, *SYMPTOMS, *PAGES]
    done = subprocess.run(
        [*node_command(), "-e", ASK, "--", str(site)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(questions, json.loads(done.stdout), strict=True))


def place_of(site: Path, page: str, anchor: str) -> str:
    """Return the heading of the section with an anchor, as the built page has it."""
    html = (site / f"{page}.html").read_text(encoding="utf-8")
    _, found, rest = html.partition(f'id="{anchor.removeprefix("#")}"')
    assert found, f"{page} has no {anchor}"
    heading = re.search(r"<h3>(.*?)<a ", rest, re.DOTALL)
    assert heading
    return re.sub(r"<[^>]+>", "", heading[1]).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_found_at_its_own_anchor(code: str, answers: dict[str, Any], site: Path) -> None:
    page, anchor, _ = answers[code]
    assert (page, anchor) == ("how-to/troubleshooting", f"#{code.lower()}")
    assert code in place_of(site, page, anchor)


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_a_symptom_is_found_at_its_heading(symptom: str, answers: dict[str, Any], site: Path) -> None:
    page, anchor, _ = answers[symptom]
    assert page == "how-to/troubleshooting"
    assert place_of(site, page, anchor) == SYMPTOMS[symptom]


@pytest.mark.parametrize("word", PAGES)
def test_a_word_is_found_on_its_page(word: str, answers: dict[str, Any]) -> None:
    assert answers[word][0] == PAGES[word]
