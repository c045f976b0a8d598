"""The preflight DAG where nothing is linked. That it succeeds where something is: tests/contract, with each Airflow."""

import json
from collections.abc import Callable

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import CONNECTION, Airflow

PARAMETERS = json.dumps({"conn_id": CONNECTION})


@pytest.mark.usefixtures("unlinked")
def test_both_tasks_fail_with_the_command_that_fixes_it(
    airflow: Airflow, workload_variables: Callable[..., dict[str, str]]
) -> None:
    done = airflow.run(
        "dags", "test", "azure_workload_identity_preflight", "--conf", PARAMETERS, check=False, **workload_variables()
    )
    said = done.stdout + done.stderr
    assert said.count("Failed: token exchange, scope.") in (2, 4), said
    assert "az identity federated-credential create --identity-name" in said
    assert " airflow-airflow-worker-" in said.replace("NAME=", " ")


@pytest.fixture
def unlinked(azure: OfflineAzure) -> object:
    [credential] = azure.identity.federated_credentials
    azure.identity.remove_credential(credential.name)
    yield
    azure.identity.add_credential(credential)
