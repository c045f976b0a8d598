"""The subcommands within Airflow's own command line, where Airflow lets a provider add some."""

import json
from importlib.metadata import version

import pytest

from tests.airflow_program import Airflow

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
LINK = (
    *("azure-workload-identity", "link", "--identity-name", "airflow", "--resource-group", "data"),
    *("--issuer", "https://oidc.example.com", "--astro", "orbit-1"),
)

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow lets providers add commands from 3.2 on")


def test_link_prints_what_the_script_prints(airflow: Airflow) -> None:
    linked = json.loads(airflow.run(*LINK, "--json").stdout)
    assert len(linked["deployments"][0]["credentials"]) == 6


def test_the_exit_code_is_that_of_the_script(airflow: Airflow) -> None:
    done = airflow.run("azure-workload-identity", "connection", "absent.json", check=False)
    assert done.returncode == 2
    assert "'absent.json' cannot be read" in done.stderr


@pytest.mark.parametrize("command", ["link", "connection", "doctor"])
def test_the_help_names_the_program_that_was_called(airflow: Airflow, command: str) -> None:
    shown = airflow.run("azure-workload-identity", command, "--help").stdout
    assert f"airflow azure-workload-identity {command}" in shown.split("examples:")[1]
