"""The connection, as a person handles it with Airflow's own commands."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import CONNECTION, Airflow

# An id of its own: the database is that of all tests.
ADDED = "added_by_command"


def command_that_adds(identity: str) -> list[str]:
    """Return the arguments of the command that ``airflow-azure-wi connection`` prints for an identity."""
    command = [sys.executable, "-m", "airflow_azure_wi", "connection", "-", "--conn-id", ADDED, "--format", "cli"]
    printed = subprocess.run(command, input=identity, capture_output=True, text=True, check=True).stdout
    airflow, *arguments = shlex.split(printed)
    assert airflow == "airflow"
    return arguments


def test_a_connection_made_from_az_identity_json_signs_in(airflow: Airflow, azure: OfflineAzure) -> None:
    airflow.run(*command_that_adds(json.dumps(azure.identity_json())))
    [stored] = airflow.rows("connections", "get", ADDED)
    assert stored["conn_type"] == "azure_workload_identity"
    assert stored["extra_dejson"]["clientId"] == azure.identity.client_id
    tested = airflow.run("connections", "test", ADDED, **azure.environment())
    assert "Connection success" in tested.stdout
    [exchange] = azure.entra.exchanges
    assert (exchange.client_id, exchange.tenant_id) == (azure.identity.client_id, azure.identity.tenant_id)
    assert exchange.error_code is None


def test_a_connection_that_is_not_linked_says_what_to_do(
    airflow: Airflow, azure: OfflineAzure, workload_variables: Callable[..., dict[str, str]]
) -> None:
    [credential] = azure.identity.federated_credentials
    azure.identity.remove_credential(credential.name)
    try:
        tested = airflow.run("connections", "test", CONNECTION, check=False, **workload_variables())
    finally:
        azure.identity.add_credential(credential)
    said = " ".join((tested.stdout + tested.stderr).split())
    assert "AADSTS70025: The managed identity has no federated identity credential" in said
    assert "Next step: Create one for this workload" in said
    assert azure.projected_token.path.read_text() not in said
