"""What ``airflow-azure-wi connection`` prints, given to Airflow's own programs."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi.identity import WorkloadIdentity
from tests.airflow_program import Airflow

SAMPLE = Path(__file__).parent.parent / "data" / "az-identity-create.json"


def printed(output_format: str, conn_id: str) -> str:
    command = [sys.executable, "-m", "airflow_azure_wi", "connection", str(SAMPLE)]
    options = ["--format", output_format, "--conn-id", conn_id]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout


def read_back(airflow: Airflow, conn_id: str, **variables: str) -> None:
    [stored] = airflow.rows("connections", "get", conn_id, **variables)
    assert stored["conn_type"] == "azure_workload_identity"
    expected = WorkloadIdentity.from_extra(SAMPLE.read_text(), source="az", environment={})
    assert WorkloadIdentity.from_extra(stored["extra_dejson"], source="Airflow", environment={}) == expected


def test_the_command_adds_it_to_the_database(airflow: Airflow) -> None:
    airflow.run(*shlex.split(printed("cli", "by_command"))[1:])
    read_back(airflow, "by_command")


def _json(text: str) -> dict[str, str]:
    return {"AIRFLOW_CONN_BY_VARIABLE": text}


def _env(text: str) -> dict[str, str]:
    name, value = shlex.split(text)[0].split("=", 1)
    return {name: value}


@pytest.mark.parametrize(("output_format", "variables"), [("env", _env), ("json", _json), ("uri", _json)])
def test_a_variable_holds_it(airflow: Airflow, output_format: str, variables: Callable[[str], dict[str, Any]]) -> None:
    read_back(airflow, "by_variable", **variables(printed(output_format, "by_variable").strip()))
