"""Turning the bridge on and off, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WHAT_IS_THERE = """
import json, sys
import airflow
stock = "airflow.providers.microsoft.azure"
loaded = [name for name in sys.modules if name.startswith((stock + ".hooks", stock + ".utils", "azure.", "adlfs"))]
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
print(json.dumps({"loaded": loaded, "read": sorted(AzureBaseHook.get_connection("azure_wi").extra_dejson)}))
"""

# As OpenTelemetry and others do, on modules that the bridge waits for too; then read, and reload what is bridged.
BESIDE_OTHERS = """
import importlib, json, sys
{before}
import wrapt
seen = []
stock = "airflow.providers.microsoft.azure"
for name in (stock + ".utils", "airflow.sdk.bases.hook", "airflow.hooks.base"):
    wrapt.register_post_import_hook(lambda module: seen.append(module.__name__), name)
import airflow
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
read = [sorted(AzureBaseHook.get_connection("azure_wi").extra_dejson)]
import airflow.providers.microsoft.azure.utils as utils
from airflow_azure_wi.airflow_compat import BaseHook
importlib.reload(sys.modules[BaseHook.__module__])
importlib.reload(utils)
from airflow_azure_wi.airflow_compat import BaseHook
read.append(sorted(BaseHook.get_connection("azure_wi").extra_dejson))
id = BaseHook.get_connection("azure_wi").extra_dejson["managed_identity_client_id"]
credential = utils.get_sync_default_azure_credential(managed_identity_client_id=id, workload_identity_tenant_id="t")
print(json.dumps({{"seen": seen, "read": read, "credential": type(credential).__module__}}))
"""

# The modules are there already; what the bridge itself costs is importing its own again.
WHAT_IT_COSTS = """
import sys, time
import airflow
costs = []
for _ in range(20):
    for name in [name for name in sys.modules if name.startswith("airflow_azure_wi")]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "_Finder"]
    started = time.process_time()
    import airflow_azure_wi.bridge.start
    costs.append(time.process_time() - started)
print(min(costs))
"""


def run(script: str, home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    connection = {
        "conn_type": "azure_workload_identity",
        "extra": {"clientId": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10", "tenantId": "contoso.onmicrosoft.com"},
    }
    environment = dict(os.environ) | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_AZURE_WI": json.dumps(connection),
        **variables,
    }
    # Airflow's processes find the package compiled, and so do these after the first.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=110)


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout.strip().splitlines()[-1]


def test_it_is_on_without_an_import_and_imports_nothing_of_the_stock_provider(tmp_path: Path) -> None:
    found = json.loads(last_line(run(WHAT_IS_THERE, tmp_path)))
    assert found["loaded"] == []
    assert {"managed_identity_client_id", "workload_identity_tenant_id"} < set(found["read"])


@pytest.mark.parametrize("before", ["", "import airflow"])
def test_it_works_beside_hooks_of_wrapt_and_survives_reloading(before: str, tmp_path: Path) -> None:
    found = json.loads(last_line(run(BESIDE_OTHERS.format(before=before), tmp_path)))
    assert len(set(found["seen"])) == len(found["seen"]) >= 2, "the others are called too, and once"
    for read in found["read"]:
        assert {"managed_identity_client_id", "workload_identity_tenant_id"} < set(read)
    assert found["credential"].startswith("airflow_azure_wi.")


def test_a_configuration_option_turns_it_off(tmp_path: Path) -> None:
    done = run(WHAT_IS_THERE, tmp_path, AIRFLOW__AZURE_WORKLOAD_IDENTITY__BRIDGE_STOCK_HOOKS="False")
    assert json.loads(last_line(done))["read"] == ["clientId", "tenantId"]


def test_a_mistake_in_the_option_does_not_keep_airflow_from_starting(tmp_path: Path) -> None:
    done = run(WHAT_IS_THERE, tmp_path, AIRFLOW__AZURE_WORKLOAD_IDENTITY__BRIDGE_STOCK_HOOKS="perhaps")
    assert "managed_identity_client_id" in json.loads(last_line(done))["read"]
    assert "[azure_workload_identity] bridge_stock_hooks" in done.stderr
    assert "perhaps" in done.stderr


def test_a_token_in_the_option_is_not_repeated(tmp_path: Path) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    done = run(WHAT_IS_THERE, tmp_path, AIRFLOW__AZURE_WORKLOAD_IDENTITY__BRIDGE_STOCK_HOOKS=token)
    assert "[azure_workload_identity] bridge_stock_hooks" in done.stderr
    assert "c2lnbmf0dxjl" not in done.stderr.lower()


def test_it_costs_less_than_5_ms(tmp_path: Path) -> None:
    seconds = float(last_line(run(WHAT_IT_COSTS, tmp_path)))
    if seconds > 0.005:
        pytest.fail(f"{seconds * 1000:.1f} ms")
