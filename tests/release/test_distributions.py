"""What is in the distributions, as they are in dist/ (see release in noxfile.py)."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from airflow_azure_wi import __version__
from dev._release import SBOM, build_variables

ROOT = Path(__file__).parent.parent.parent
WHEEL = ROOT / "dist" / f"airflow_azure_wi-{__version__}-py3-none-any.whl"
SDIST = ROOT / "dist" / f"airflow_azure_wi-{__version__}.tar.gz"
INFO = f"airflow_azure_wi-{__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel() -> zipfile.ZipFile:
    return zipfile.ZipFile(WHEEL)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"{INFO}/METADATA"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if not name.startswith(f"{INFO}/")}
    package = ROOT / "airflow_azure_wi"
    # Beside Python: the mark for type checkers, the dbt project of a recipe, and the page in Airflow.
    kinds = (".py", ".typed", ".yml", ".sql", ".json", ".html", ".css", ".js")
    expected = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.suffix in kinds}
    assert held == expected


def test_the_sdist_holds_what_is_needed_to_test_it_and_no_more() -> None:
    with tarfile.open(SDIST) as archive:
        names = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert names >= {"airflow_azure_wi", "tests", "dev", "docs", "examples", "pyproject.toml", "README.md", "LICENSE"}
    assert not names & {".venv", ".venvs", "dist", ".git"}


def test_the_metadata_is_complete(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier", [])
    assert "Framework :: Apache Airflow :: Provider" in classifiers
    for version in ("3.10", "3.11", "3.12", "3.13"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_all("Project-URL")


def test_the_wheel_carries_an_sbom_that_names_what_it_requires(wheel: zipfile.ZipFile, metadata: Message) -> None:
    held = wheel.read(f"{INFO}/sboms/{SBOM.name}").decode()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(held) is None
    bom = json.loads(held)
    assert bom["metadata"]["component"]["version"] == __version__
    requirements = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(
        f"{component['name']}{component['properties'][0]['value']}" for component in bom["components"]
    ) == sorted(line.lower() for line in requirements)


def test_another_build_in_another_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    elsewhere = tmp_path / "with another name"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0")[:-1]:
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, elsewhere / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", elsewhere]
    # As somebody whose new files only they can read.
    subprocess.run(build, env=os.environ | build_variables(), check=True, capture_output=True, umask=0o077)
    for first in (WHEEL, SDIST):
        again = tmp_path / "dist" / first.name
        assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(first.read_bytes()).digest(), first.name


def test_nothing_has_an_upper_bound(metadata: Message) -> None:
    bounded = [line for line in metadata.get_all("Requires-Dist", []) if "<" in line or "==" in line.split(";")[0]]
    assert bounded == [], "a resolver would move the Airflow that is there"


def test_airflow_and_the_shell_find_it_by_its_entry_points(wheel: zipfile.ZipFile) -> None:
    entry_points = wheel.read(f"{INFO}/entry_points.txt").decode()
    for group in ("[apache_airflow_provider]", "[airflow.policy]", "[console_scripts]"):
        assert group in entry_points


def test_the_version_is_in_one_place_and_has_its_changes() -> None:
    said = [path for path in ROOT.glob("*.toml") if f'"{__version__}"' in path.read_text()]
    assert said == []
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changes or f"## [{__version__}]" in changes
