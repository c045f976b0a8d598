"""Hooks, operators, sensors and triggers of the Databricks provider, in front of a workspace that checks the token."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import databricks.sql
import pytest
from airflow.providers.databricks.hooks.databricks import DatabricksHook
from airflow.providers.databricks.hooks.databricks_sql import DatabricksSqlHook
from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

from airflow_azure_wi import at
from airflow_azure_wi.errors import EndpointError, IdentityError
from airflow_azure_wi.pytest_plugin import let_aiohttp_trust
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.airflow_program import Airflow
from tests.databricks_workspace import HOST, HTTP_PATH, DatabricksWorkspace

WORKSPACE = f"https://{HOST}"
RESOURCE_ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Databricks/workspaces/w"


@pytest.fixture
def workspace(workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabricksWorkspace]:
    let_aiohttp_trust(workload, monkeypatch)
    # The provider's sessions read no proxy from the environment, and this is how the stand-in is reached.
    monkeypatch.setitem(aiohttp.ClientSession.__init__.__kwdefaults__, "trust_env", True)
    workspace = DatabricksWorkspace(workload)
    with workload.serving(workspace.app, HOST):
        yield workspace


@pytest.fixture(params=["at", "azure_conn_id"])
def conn_id(request: pytest.FixtureRequest, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the connection of an identity with an endpoint, or of a workspace that names that connection."""
    define(monkeypatch, "azure_wi", "azure_workload_identity", identity.as_json())
    define(monkeypatch, "dbx", "databricks", {"azure_conn_id": "azure_wi"}, host=WORKSPACE)
    return at("azure_wi", WORKSPACE) if request.param == "at" else "dbx"


def define(
    monkeypatch: pytest.MonkeyPatch, conn_id: str, conn_type: str, extra: dict[str, Any], **fields: object
) -> None:
    connection = {"conn_type": conn_type, "extra": extra, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def test_the_rest_api_gets_a_token_for_databricks(
    conn_id: str, workspace: DatabricksWorkspace, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert DatabricksHook(conn_id).find_job_id_by_name("nightly") == 42
    assert workspace.client_ids() == {identity.client_id}
    assert "eyJ" not in caplog.text, "no token is logged"


def test_sql_gets_one_too(conn_id: str, workspace: DatabricksWorkspace, identity: ManagedIdentity) -> None:
    hook = DatabricksSqlHook(conn_id, http_path=HTTP_PATH, enable_telemetry=False)
    assert [tuple(row) for row in hook.get_records("select 42")] == [(42,)]
    assert ("POST", HTTP_PATH, identity.client_id) in workspace.visits
    assert not workspace.refusals


def test_a_trigger_gets_one_in_its_event_loop(
    conn_id: str, workspace: DatabricksWorkspace, identity: ManagedIdentity, workload: OfflineAzure
) -> None:
    async def run() -> Any:
        trigger = DatabricksExecutionTrigger(run_id=7, databricks_conn_id=conn_id, polling_period_seconds=1)
        return await anext(trigger.run())

    event = asyncio.run(run())
    assert json.loads(event.payload["run_state"])["result_state"] == "SUCCESS"
    assert workspace.client_ids() == {identity.client_id}
    assert [exchange.error_code for exchange in workload.entra.exchanges] == [None]


def test_operators_a_sensor_and_a_deferred_task_work_in_airflow(
    airflow: Airflow,
    workspace: DatabricksWorkspace,
    azure: OfflineAzure,
    workload_variables: Callable[..., dict[str, str]],
) -> None:
    dags = {"AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "databricks_dags")}
    variables = workload_variables() | {"WORKSPACE": WORKSPACE, "HTTP_PATH": HTTP_PATH}
    done = Airflow(airflow.variables | dags).run("dags", "test", "databricks", **variables)
    said = done.stdout + done.stderr
    paths = {re.sub(r"2\.\d", "2.x", path).replace("//", "/") for _, path, _ in workspace.visits}
    assert paths >= {"/api/2.x/repos/5", "/api/2.x/jobs/run-now", "/api/2.x/jobs/runs/get", HTTP_PATH}
    assert workspace.client_ids() == {azure.identity.client_id}
    assert not workspace.refusals
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"


def test_hooks_share_one_exchange(conn_id: str, workspace: DatabricksWorkspace, workload: OfflineAzure) -> None:
    for _ in range(3):
        DatabricksHook(conn_id).find_job_id_by_name("nightly")
    assert len(workload.entra.exchanges) == 1


def test_an_identity_outside_of_the_workspace_gets_a_token_for_resource_manager_beside_it(
    identity: ManagedIdentity, workspace: DatabricksWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(monkeypatch, "azure_wi", "azure_workload_identity", identity.as_json())
    extra = {"azure_conn_id": "azure_wi", "azure_resource_id": RESOURCE_ID}
    define(monkeypatch, "dbx", "databricks", extra, host=HOST)
    assert DatabricksHook("dbx").find_job_id_by_name("nightly") == 42
    assert not workspace.refusals


def test_a_port_of_the_connection_does_not_count_and_that_of_the_endpoint_does(
    identity: ManagedIdentity, workspace: DatabricksWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(monkeypatch, "azure_wi", "azure_workload_identity", identity.as_json(), port=1)
    assert DatabricksHook(at("azure_wi", WORKSPACE)).find_job_id_by_name("nightly") == 42
    assert DatabricksHook(at("azure_wi", f"{WORKSPACE}:8443")).databricks_conn.port == 8443


def test_no_extra_of_the_connection_reaches_the_sql_connector_or_another_host(
    identity: ManagedIdentity, workspace: DatabricksWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    dangerous = {"host": "elsewhere.azuredatabricks.net", "proxies": {"https": "http://127.0.0.1:1"}, "token": "dapi"}
    extra = identity.as_json() | dangerous | {"_tls_no_verify": True, "max_block_size": 1}
    define(monkeypatch, "azure_wi", "azure_workload_identity", extra, password="secret", login="token")
    assert DatabricksHook(at("azure_wi", WORKSPACE)).find_job_id_by_name("nightly") == 42
    assert not workspace.refusals
    assert options_of_sql_connector(at("azure_wi", WORKSPACE), monkeypatch).keys().isdisjoint(extra.keys() - {"host"})


def test_without_an_endpoint_the_message_shows_at(identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, "azure_wi", "azure_workload_identity", identity.as_json())
    with pytest.raises(EndpointError, match=r"BaseDatabricksHook needs one.*at\('azure_wi', 'https://adb-"):
        DatabricksHook("azure_wi").find_job_id_by_name("nightly")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("not_there", "there is no connection 'not_there'"),
        ("storage", "connection 'storage' is of type 'wasb'"),
        (at("azure_wi", WORKSPACE), "is not a plain id"),
        (42, "42 is not a plain id"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_wrong_azure_conn_id_is_named(
    named: object, said: str, is_async: bool, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(monkeypatch, "azure_wi", "azure_workload_identity", identity.as_json())
    define(monkeypatch, "storage", "wasb", {})
    define(monkeypatch, "dbx", "databricks", {"azure_conn_id": named}, host=HOST, password="token")
    hook = DatabricksHook("dbx")

    async def read() -> None:
        async with hook:
            await hook.a_get_run_state(7)

    with pytest.raises(IdentityError) as refused:
        asyncio.run(read()) if is_async else hook.find_job_id_by_name("nightly")
    assert str(refused.value).startswith("azure_conn_id in the extra of connection 'dbx'")
    assert said in str(refused.value)
    assert "expected the plain id of a connection of type 'azure_workload_identity'" in str(refused.value)


def test_other_connections_keep_their_own_token_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, "dbx", "databricks", {"use_cloud_fetch": False}, host=HOST, password="token")
    options = options_of_sql_connector("dbx", monkeypatch)
    assert (options["access_token"], options["use_cloud_fetch"]) == ("token", False)


def test_azure_conn_id_is_no_option_of_the_sql_connector(
    identity: ManagedIdentity, workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(monkeypatch, "azure_wi", "azure_workload_identity", identity.as_json())
    define(monkeypatch, "dbx", "databricks", {"use_cloud_fetch": False, "azure_conn_id": "azure_wi"}, host=HOST)
    options = options_of_sql_connector("dbx", monkeypatch)
    assert options["use_cloud_fetch"] is False
    assert "azure_conn_id" not in options


def options_of_sql_connector(conn_id: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the arguments that the hook of a connection calls the SQL connector with."""
    called: dict[str, Any] = {}

    def connect(host: str, http_path: str, access_token: str, **options: Any) -> Any:
        called.update(options, host=host, http_path=http_path, access_token=access_token)
        return Mock()

    monkeypatch.setattr(databricks.sql, "connect", connect)
    DatabricksSqlHook(conn_id, http_path=HTTP_PATH).get_conn()
    return called
