"""The preflight DAG, run by Airflow itself: on a worker, and in the triggerer."""

import json
from collections.abc import Callable

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import CONNECTION, Airflow

DAG = "azure_workload_identity_preflight"
PARAMETERS = json.dumps({"conn_id": CONNECTION, "scopes": ["https://vault.azure.net/.default"]})


def test_both_tasks_show_who_they_sign_in_as(
    airflow: Airflow, azure: OfflineAzure, workload_variables: Callable[..., dict[str, str]]
) -> None:
    done = airflow.run("dags", "test", DAG, "--conf", PARAMETERS, **workload_variables())
    said = done.stdout + done.stderr
    # Airflow 2.11 prints each line of the log twice.
    assert said.count(f"Examining connection '{CONNECTION}'") in (2, 4), said
    assert said.count(f"Signed in as {azure.identity.client_id}") >= 2
    assert [exchange.scope for exchange in azure.entra.exchanges] == [
        "https://management.azure.com/.default",
        "https://vault.azure.net/.default",
    ] * 2
    assert azure.projected_token.path.read_text() not in said
