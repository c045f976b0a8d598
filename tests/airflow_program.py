"""Airflow as a person runs it: its command line, with a home and a database of its own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi import example_dags

CONNECTION = "azure_wi"
EXAMPLE_DAGS = Path(example_dags.__file__).parent


@dataclass(frozen=True)
class Airflow:
    """Runs Airflow's command line, with a home and a database of its own."""

    variables: dict[str, str]

    def run(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one command; with ``check``, fail the test with all that it said if it fails."""
        program = str(Path(sys.executable).parent / "airflow")
        return self._run([program, *arguments], check, variables)

    def rows(self, *arguments: str, **variables: str) -> list[dict[str, Any]]:
        """Return what a command with ``--output json`` lists; some Airflows log on the same stream."""
        printed = self.run(*arguments, "--output", "json", **variables).stdout
        [table] = [line for line in printed.splitlines() if line.startswith("[{")]
        return json.loads(table)

    def python(self, script: str, *arguments: str, **variables: str) -> str:
        """Run a script with the same Airflow, and return what it printed."""
        return self._run([sys.executable, "-c", script, *arguments], True, variables).stdout

    def _run(self, command: list[str], check: bool, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=self.variables | variables, capture_output=True, text=True, check=False, timeout=180
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done


def without_recipes(directory: Path) -> Path:
    """Return a directory with those example DAGs that are no recipes: Airflow parses all for each command."""
    for file in EXAMPLE_DAGS.glob("azure_workload_identity_*.py"):
        shutil.copy(file, directory)
    return directory


def variables_of(home: Path, dags: Path) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return dict(os.environ) | {
        "PATH": programs,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }
