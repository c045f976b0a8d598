"""The preflight DAG where nothing is linked. That it succeeds where something is: tests/contract, with each Airflow."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_azure_wi.preflight import (
    AzureWorkloadIdentityPreflightOperator,
    AzureWorkloadIdentityPreflightTrigger,
    PreflightError,
)
from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import CONNECTION, Airflow

DAG = "azure_workload_identity_preflight"
PARAMETERS = json.dumps({"conn_id": CONNECTION})

READ_REPORTS = """
import json
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
with create_session() as session:
    found = session.scalars(select(XComModel).where(XComModel.key == "report"))
    print(json.dumps({each.task_id: XComModel.deserialize_value(each) for each in found}))
"""


class Instance:
    """A task instance that keeps what is pushed."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))


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


@pytest.mark.usefixtures("unlinked")
def test_the_report_is_data_in_xcom_and_text_in_the_log_once_at_every_level(
    airflow: Airflow, workload_variables: Callable[..., dict[str, str]]
) -> None:
    quiet = workload_variables() | {"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    done = airflow.run("dags", "test", DAG, "--conf", PARAMETERS, check=False, **quiet)
    said = done.stdout + done.stderr
    assert said.count(f"Examining connection '{CONNECTION}'") == 2, said
    reports = json.loads(airflow.python(READ_REPORTS).splitlines()[-1])
    assert set(reports) == {"on_worker", "in_triggerer"}
    for report in reports.values():
        assert report["about"] == f"connection '{CONNECTION}'"
        assert "AADSTS70025" in json.dumps(report["checks"])


def test_a_missing_connection_is_a_report_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite://")
    instance = Instance()
    operator = AzureWorkloadIdentityPreflightOperator(task_id="preflight", conn_id="no_such")
    with pytest.raises(PreflightError, match=r"^connection failed: "):
        operator.execute({"ti": instance})
    [check] = instance.pushed["report"]["checks"]
    assert "'no_such'" in check["found"]
    assert "Admin > Connections" in check["nextStep"]


def test_the_event_of_the_trigger_does_not_repeat_the_report(
    azure: OfflineAzure, workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "azure_workload_identity", "extra": azure.identity_json()}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(connection))

    async def event() -> Any:
        [event] = [event async for event in AzureWorkloadIdentityPreflightTrigger(CONNECTION).run()]
        return event

    fired = asyncio.run(event())
    assert len(repr(fired)) < 100
    instance = Instance()
    AzureWorkloadIdentityPreflightOperator(task_id="preflight").execute_complete({"ti": instance}, fired.payload)
    assert instance.pushed["report"]["ok"]
