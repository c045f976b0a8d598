"""docs/explanation/how-it-is-built.md shows the way of one call as it is, and names every module."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import airflow_azure_wi
from airflow_azure_wi.testing import OfflineAzure
from tests.docs.pages import DOCS, ROOT

FOLDER = Path(airflow_azure_wi.__file__).parent
PAGE = (DOCS / "explanation/how-it-is-built.md").read_text(encoding="utf-8")
# The modules of the call, from the top of the table to its end, and the ones that they ask.
WAY = re.findall(r"(?m)^\| \d+ \| `([\w/]+\.py)` \|", PAGE.partition("## The modules")[0])
ASKED = re.findall(r"`([\w/]+\.py)`", PAGE.partition("On the way they ask")[2].partition("which call none")[0])
MODULES = [
    name
    for cells in re.findall(r"(?m)^\| \d? ?\| (`.+?`) \|", PAGE.partition("## The modules")[2])
    for name in re.findall(r"`([\w./]+)`", cells)
]

# Prints, as JSON, which file of the package called which other one, in any thread.
TRACE = """
import _thread, json, sys

start_new_thread = _thread.start_new_thread

def start_traced(function, *arguments):
    def run(*its):
        sys.setprofile(note)
        function(*its)
    return start_new_thread(run, *arguments)

_thread.start_new_thread = start_traced

from azure.storage.blob import BlobServiceClient
import airflow_azure_wi.hooks.azure_workload_identity as hooks

folder, calls = sys.argv[1], set()

def own_frames(frame):
    while frame is not None:
        if frame.f_code.co_filename.startswith(folder):
            yield frame
        frame = frame.f_back

def note(frame, event, _):
    if event == "call" and frame.f_code.co_filename.startswith(folder):
        stack = list(own_frames(frame))
        if all(each.f_code.co_name != "<module>" for each in stack):  # an import is no call
            caller = stack[1].f_code.co_filename if len(stack) > 1 else ""
            calls.add((caller.removeprefix(folder), frame.f_code.co_filename.removeprefix(folder)))

sys.setprofile(note)
hook = hooks.AzureWorkloadIdentityHook("azure_wi")
blobs = hook.get_client(BlobServiceClient, account_url=sys.argv[2])
assert not blobs.get_container_client("no-such-container").exists()
sys.setprofile(None)
print(json.dumps(sorted(calls)))
"""


@pytest.fixture
def traced(workload: OfflineAzure, workload_variables: Callable[..., dict[str, str]]) -> set[tuple[str, str]]:
    """Which file of the package called which, by their names in its folder.

    Two are left out. The bridge is on, and its get_connection() hands this hook the stored connection. And Python asks
    the package itself for the modules that a function imports.
    """
    done = subprocess.run(
        [sys.executable, "-c", TRACE, f"{FOLDER}{os.sep}", workload.azurite.blob_url],
        env=os.environ | workload_variables(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    pairs = {(caller, called) for caller, called in json.loads(done.stdout.splitlines()[-1]) if caller != called}
    return {pair for pair in pairs if not any(name.startswith(("bridge/", "__init__")) for name in pair)}


def test_there_are_at_most_ten_modules_on_the_way() -> None:
    assert 5 < len(WAY) <= 10
    assert len(ASKED) < 7


def test_the_modules_of_the_page_are_those_of_the_package() -> None:
    for name in [*WAY, *ASKED, *MODULES]:
        assert (FOLDER / name).exists(), name
    there = {path.name for path in FOLDER.glob("*.py") if not path.name.startswith("__")}
    there |= {f"{path.parent.name}/" for path in FOLDER.glob("*/__init__.py")}
    assert there == set(MODULES)


def test_contributing_says_what_each_folder_is() -> None:
    table = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Where things are")[2].partition("\n## ")[0]
    )
    named = {
        name.rstrip("/") for cell in re.findall(r"(?m)^\| (`.+?`) \|", table) for name in re.findall(r"`(.+?)`", cell)
    }
    modules = {path.parent.relative_to(ROOT) for path in ROOT.glob("tests/*/__init__.py")}
    assert named == {"airflow_azure_wi", "dev", "docs", "examples", *map(str, modules)}


def test_a_real_call_goes_that_way_and_never_turns_back(traced: set[tuple[str, str]]) -> None:
    assert {called for _, called in traced} == {*WAY, *ASKED}
    places = {name: place for place, name in enumerate(WAY)}
    back = {
        (caller, called)
        for caller, called in traced
        if called in places and (caller in ASKED or places.get(caller, -1) > places[called])
    }
    assert back == set()
