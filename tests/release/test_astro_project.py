"""The Astro example, with the package as a user of its requirements.txt has it (see release in noxfile.py)."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import airflow_azure_wi
from airflow_azure_wi.provider import CONFIG_SECTION, DEVELOPMENT_CREDENTIALS, OPTIONS
from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import Airflow, variables_of

PROJECT = Path(__file__).parent.parent.parent / "examples" / "astro"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    airflow = Airflow(variables_of(tmp_path_factory.mktemp("airflow"), PROJECT / "dags"))
    airflow.run("db", "migrate")
    return airflow


def settings_of(identity: dict[str, str]) -> dict[str, Any]:
    """Return the one connection of airflow_settings.yaml, of the identity that the offline Azure has."""
    settings = yaml.safe_load((PROJECT / "airflow_settings.yaml").read_text())
    [connection] = settings["airflow"]["connections"]
    connection["conn_extra"] |= identity
    return connection


def test_the_package_is_the_one_that_was_installed() -> None:
    assert Path(airflow_azure_wi.__file__).is_relative_to(sys.prefix)


def test_the_settings_yield_the_connection_and_the_dag_runs_with_it(airflow: Airflow, azure: OfflineAzure) -> None:
    identity = azure.identity_json()
    connection = settings_of({name: identity[name] for name in ("clientId", "tenantId")})
    # What the Astro CLI makes of these fields.
    airflow.run(
        *("connections", "add", connection["conn_id"], "--conn-type", connection["conn_type"]),
        *("--conn-extra", json.dumps(connection["conn_extra"])),
    )
    [stored] = airflow.rows("connections", "get", "azure_wi")
    assert stored["extra_dejson"] == connection["conn_extra"]
    done = airflow.run(
        *("dags", "test", "blob_round_trip"), **azure.environment(), AIRFLOW_VAR_BLOB_URL=azure.azurite.blob_url
    )
    assert "Hello from Astro" in done.stdout + done.stderr
    [exchange] = azure.entra.exchanges
    assert (exchange.client_id, exchange.error_code) == (azure.identity.client_id, None)


def test_every_file_that_an_astro_project_needs_is_there() -> None:
    files = ("Dockerfile", "requirements.txt", "packages.txt", "airflow_settings.yaml", ".env.example", "dags")
    assert [name for name in files if not (PROJECT / name).exists()] == []
    assert (PROJECT / "requirements.txt").read_text().split() == ["airflow-azure-wi"]
    assert not (PROJECT / ".env").exists()


def test_the_files_for_a_laptop_fit_each_other() -> None:
    services = yaml.safe_load((PROJECT / "docker-compose.override.example.yml").read_text())["services"]
    mounted = {volume.split(":")[1] for service in services.values() for volume in service["volumes"]}
    offered = re.findall(r"^#(\w+)=(.*)$", (PROJECT / ".env.example").read_text(), re.MULTILINE)
    variables = dict(offered)
    assert mounted == {variables.pop("AZURE_CONFIG_DIR")}
    [(name, value)] = variables.items()
    section, option = name.removeprefix("AIRFLOW__").lower().split("__")
    assert section == CONFIG_SECTION
    assert option in OPTIONS
    assert value in DEVELOPMENT_CREDENTIALS
    assert not (PROJECT / "docker-compose.override.yml").exists()
