"""The subcommands: within Airflow's own command line where Airflow lets a provider add some, else as the script."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.airflow_program import Airflow

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
PROGRAM = "airflow azure-workload-identity" if AIRFLOW >= (3, 2) else "airflow-azure-wi"
LINK = (
    *("link", "--identity-name", "airflow", "--resource-group", "data"),
    *("--issuer", "https://oidc.example.com", "--astro", "orbit-1"),
)


def run(airflow: Airflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    name, *subcommand = PROGRAM.split()
    command = [str(Path(sys.executable).parent / name), *subcommand, *arguments]
    return subprocess.run(command, env=airflow.variables, capture_output=True, text=True, check=False, timeout=180)


def test_link_prints_json_for_programs(airflow: Airflow) -> None:
    linked = json.loads(run(airflow, *LINK, "--json").stdout)
    assert len(linked["deployments"][0]["credentials"]) == 4


def test_the_exit_code_tells_bad_input(airflow: Airflow) -> None:
    done = run(airflow, "connection", "absent.json")
    assert done.returncode == 2
    assert "'absent.json' cannot be read" in done.stderr


def test_the_help_names_the_program_that_was_called(airflow: Airflow) -> None:
    shown = run(airflow, "doctor", "--help").stdout
    assert f"{PROGRAM} doctor" in shown.split("examples:")[1]
