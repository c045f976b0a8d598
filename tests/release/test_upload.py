"""A rehearsal of the release: an upload to a package index, and an Astro project that installs the package from it.

The environment is that of nox -s release, which has the Airflow of the example's Runtime.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from airflow_azure_wi import __version__
from tests.airflow_standalone import end, free_ports
from tests.docs.pages import ROOT

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
DISTRIBUTIONS = {path.name: path for path in (ROOT / "dist").glob(f"airflow_azure_wi-{__version__}*")}
PROGRAMS = Path(sys.executable).parent
RUNTIME = ROOT / ".venvs" / "release" / "bin" / "python"
REQUIREMENTS = ROOT / "examples" / "astro" / "requirements.txt"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program that reaches this machine past any proxy."""
    direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PIP_NO_INPUT": "1"}
    return subprocess.run(command, env=os.environ | direct, capture_output=True, text=True, check=False, timeout=250)


def pip(*arguments: str | Path) -> str:
    done = run(sys.executable, "-m", "pip", "--python", RUNTIME, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package index on this machine that takes an upload from everybody."""
    [port] = free_ports(1)
    address = ("--interface", "127.0.0.1", "--port", str(port))
    packages = tmp_path_factory.mktemp("index")
    command = [PROGRAMS / "pypi-server", "run", *address, "-a", ".", "-P", ".", "--disable-fallback", packages]
    with (packages.parent / "index.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            try:
                DIRECT.open(f"{url}health", timeout=10)
                break
            except URLError:
                time.sleep(0.1)
        else:
            pytest.fail((packages.parent / "index.log").read_text())
        yield url
    finally:
        end(server)


@pytest.fixture(scope="module")
def uploaded(index: str) -> str:
    """That index, with the distributions."""
    # No settings and no token of the person who runs this.
    settings = ("--config-file", os.devnull, "--non-interactive", "--disable-progress-bar", "--repository-url", index)
    command = (PROGRAMS / "twine", "upload", *settings, "-u", "rehearsal", "-p", "none", *DISTRIBUTIONS.values())
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return index


def test_the_index_takes_both_distributions(uploaded: str) -> None:
    assert len(DISTRIBUTIONS) == 2
    with DIRECT.open(f"{uploaded}simple/airflow-azure-wi/") as page:
        listed = set(re.findall(r'href="/packages/([^"#]*)#sha256=([0-9a-f]*)"', page.read().decode()))
    assert listed == {(name, sha256(path)) for name, path in DISTRIBUTIONS.items()}


def test_an_astro_project_installs_it_from_there_and_moves_nothing(uploaded: str, tmp_path: Path) -> None:
    before = {each["name"]: each["version"] for each in json.loads(pip("list", "--format", "json"))}
    assert "apache-airflow" in before
    report = tmp_path / "report.json"
    pip("install", "--extra-index-url", f"{uploaded}simple/", "--report", report, "--requirement", REQUIREMENTS)
    installed = {each["metadata"]["name"]: each for each in json.loads(report.read_text())["install"]}
    ours = installed["airflow-azure-wi"]
    assert ours["download_info"]["url"].startswith(uploaded)
    [wheel] = [path for name, path in DISTRIBUTIONS.items() if name.endswith(".whl")]
    assert ours["download_info"]["archive_info"]["hashes"]["sha256"] == sha256(wheel)
    assert before.keys().isdisjoint(installed), "installing the package moved what the Runtime carries"
