"""The preflight DAG where nothing is linked. That it succeeds where something is: tests/contract, with each Airflow."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import airflow_azure_wi as package
from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook
from airflow_azure_wi.preflight import (
    AzureWorkloadIdentityPreflightOperator,
    AzureWorkloadIdentityPreflightTrigger,
    PreflightError,
)
from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import CONNECTION, Airflow

DAG = "azure_workload_identity_preflight"
READ_REPORTS = """
import json
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
with create_session() as session:
    found = session.scalars(select(XComModel).where(XComModel.key == "report").order_by(XComModel.timestamp))
    print(json.dumps({each.task_id: XComModel.deserialize_value(each) for each in found}))
"""


class Instance:
    """A task instance that keeps what is pushed."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, azure: OfflineAzure) -> Callable[[str], None]:
    """Store connections in environment variables; there is no database."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite://")

    def store(conn_id: str) -> None:
        connection = {"conn_type": "azure_workload_identity", "extra": azure.identity_json()}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return store


def report_of(operator: AzureWorkloadIdentityPreflightOperator) -> dict[str, Any]:
    """Run an operator that fails, and return the report that it leaves."""
    instance = Instance()
    with pytest.raises(PreflightError, match="failed: connection"):
        operator.execute({"ti": instance})
    return instance.pushed["report"]


@pytest.mark.usefixtures("unlinked")
def test_both_tasks_fail_with_the_command_that_fixes_it_in_the_log_once_and_in_the_xcom(
    airflow: Airflow, workload_variables: Callable[..., dict[str, str]]
) -> None:
    """Also where Airflow logs errors only, and without parameters: the one connection that is there is taken."""
    quiet = workload_variables() | {"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    done = airflow.run("dags", "test", DAG, check=False, **quiet)
    said = done.stdout + done.stderr
    assert said.count(f"Examining connection '{CONNECTION}'") == 2, said
    assert said.count("Failed: token exchange, scope.") == 2, said
    assert said.count("\nFAILED   token exchange ") == 2, said
    assert "az identity federated-credential create --identity-name" in said
    assert " airflow-airflow-worker-" in said.replace("NAME=", " ")
    assert "get_token failed" not in said, "azure-identity does not repeat it"
    reports = json.loads(airflow.python(READ_REPORTS).splitlines()[-1])
    assert set(reports) == {"on_worker", "in_triggerer"}
    for report in reports.values():
        assert report["about"] == f"connection '{CONNECTION}'"
        failed = [check["name"] for check in report["checks"] if check["status"] == "failed"]
        assert failed == ["token exchange", "scope"]


@pytest.fixture
def unlinked(azure: OfflineAzure) -> object:
    [credential] = azure.identity.federated_credentials
    azure.identity.remove_credential(credential.name)
    yield
    azure.identity.add_credential(credential)


@pytest.mark.usefixtures("workload")
def test_a_missing_connection_is_a_report_with_a_next_step(store: Callable[[str], None]) -> None:
    operator = AzureWorkloadIdentityPreflightOperator(task_id="preflight", conn_id="no_such")
    [check] = report_of(operator)["checks"]
    assert "Airflow has no connection 'no_such'" in check["found"]
    assert "Admin > Connections" in check["nextStep"]


def test_one_that_cannot_be_read_is_a_report_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_connection(conn_id: str) -> None:
        # As in a task of Airflow 3 whose API server answers with HTTP 500.
        raise RuntimeError("GENERIC_ERROR")

    monkeypatch.setattr(AzureWorkloadIdentityHook, "get_connection", get_connection)
    operator = AzureWorkloadIdentityPreflightOperator(task_id="preflight", conn_id="broken")
    [check] = report_of(operator)["checks"]
    assert "Airflow cannot read the connection 'broken'" in check["found"]
    assert "secrets backend" in check["nextStep"]


@pytest.mark.usefixtures("workload")
@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ([], "azure_wi"),
        (["data_team"], "data_team"),
        (["azure_workload_identity_default"], "azure_workload_identity_default"),
        (["azure_workload_identity_default", "azure_wi"], "azure_wi"),
        (["data_team", "other_team"], "azure_wi"),
    ],
)
def test_without_an_id_the_only_connection_is_taken_or_that_of_the_readme(
    store: Callable[[str], None], there: list[str], taken: str
) -> None:
    for conn_id in there:
        store(conn_id)
    instance = Instance()
    operator = AzureWorkloadIdentityPreflightOperator(task_id="preflight")
    if taken in there:
        operator.execute({"ti": instance})
    else:
        with pytest.raises(PreflightError):
            operator.execute({"ti": instance})
    assert instance.pushed["report"]["about"] == f"connection '{taken}'"


@pytest.mark.usefixtures("workload")
def test_the_event_of_the_trigger_does_not_print_the_report(store: Callable[[str], None]) -> None:
    store(CONNECTION)

    async def event() -> Any:
        [event] = [event async for event in AzureWorkloadIdentityPreflightTrigger(CONNECTION).run()]
        return event

    fired = asyncio.run(event())
    assert len(repr(fired)) < 100
    assert len(str(fired)) < 100
    instance = Instance()
    AzureWorkloadIdentityPreflightOperator(task_id="preflight").execute_complete({"ti": instance}, fired.payload)
    assert instance.pushed["report"]["ok"]


def test_the_line_that_the_page_shows_adds_the_dag(
    airflow: Airflow, workload_variables: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    page = (Path(package.__file__).parent / "page" / "templates" / "page.html").read_text(encoding="utf-8")
    [line] = re.findall(r'copyable\("(from .*)"\)', page)
    (tmp_path / f"{DAG}.py").write_text(line, encoding="utf-8")
    folder = {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    parameters = json.dumps({"conn_id": CONNECTION})
    done = airflow.run("dags", "test", DAG, "--conf", parameters, **workload_variables(), **folder)
    assert "Signed in as" in done.stdout + done.stderr
