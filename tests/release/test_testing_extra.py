"""The extra ``testing`` as a user has it: the wheel with what it brings, in an environment that nox made (release)."""

import os
import shutil
import subprocess
from pathlib import Path

import platformdirs
import pytest

from airflow_azure_wi.testing.azurite import installed_azurite
from tests.docs.pages import DOCS, ROOT, blocks_of

PROGRAMS = ROOT / ".venvs" / "release" / "bin"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has no Airflow at home, but Azurite in the cache: it is 400 MB."""
    installed_azurite()
    home = tmp_path / "home"
    home.mkdir()
    others = {name: value for name, value in os.environ.items() if name not in ("AIRFLOW_HOME", "VIRTUAL_ENV")}
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    return others | {"HOME": str(home), "XDG_CACHE_HOME": str(platformdirs.user_cache_path()), "PATH": path}


def test_the_first_test_of_the_docs_and_the_example_project_pass(tmp_path: Path, variables: dict[str, str]) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "testing", project)
    first = next(block.code for block in blocks_of(DOCS / "how-to/testing.md") if block.language == "python")
    (project / "tests" / "test_reports.py").write_text(first)
    done = subprocess.run(
        [PROGRAMS / "pytest", "-rA"],
        cwd=project,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED tests/test_reports.py::test_make_container" in done.stdout
    assert "PASSED tests/test_daily_report.py::" in done.stdout
    # pytest prints its plugins: those that our own tests want besides are not there yet.
    assert "hypothesis" not in done.stdout
