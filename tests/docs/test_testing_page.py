"""The page about tests of one's own DAGs, and the example project that goes with it, in one run of pytest."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow_program import Airflow
from tests.docs.pages import DOCS, ROOT, blocks_of

# Long enough for a slow machine; nothing here waits for a time to pass.
pytestmark = pytest.mark.timeout(400)


def test_its_tests_and_those_of_the_example_project_pass(
    tmp_path: Path, airflow: Airflow, unused_database: Path
) -> None:
    project, home = tmp_path / "project", tmp_path / "airflow"
    shutil.copytree(ROOT / "examples" / "testing", project)
    blocks = [block.code for block in blocks_of(DOCS / "how-to/testing.md") if block.language == "python"]
    for number, code in enumerate(blocks):
        (project / "tests" / f"test_block_{number}.py").write_text(code)
    home.mkdir()
    shutil.copy(unused_database, home / "airflow.db")
    variables = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=short", "--durations=5"],
        cwd=project,
        env=airflow.variables | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=350,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = {line.split("::")[0].removeprefix("PASSED tests/") for line in done.stdout.splitlines() if "PASSED" in line}
    expected = {f"test_block_{number}.py" for number in range(len(blocks))} | {"test_daily_report.py"}
    assert ran == expected


def test_the_first_block_takes_ten_lines() -> None:
    first = next(block.code for block in blocks_of(DOCS / "how-to/testing.md") if block.language == "python")
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
