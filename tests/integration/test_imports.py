"""What an import costs: dag files are parsed all day, and the command line should start at once."""

import json
import subprocess
import sys

import pytest

GROUND_FLOOR = [
    "identity",
    "tokens",
    "endpoints",
    "tools",
    "deployment",
    "clouds",
    "entra_errors",
    "errors",
    "clients",
    "provider",
]


def modules_after(script: str) -> set[str]:
    """Return the modules that a new process has loaded after a script."""
    command = [sys.executable, "-c", f"{script}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if name.split(".")[0] in {"airflow", "azure", "msal", "aiohttp", "requests"})


def test_the_package_loads_neither_airflow_nor_azure() -> None:
    modules = modules_after("import airflow_azure_wi")
    assert heavy(modules) == []
    assert {name for name in modules if name.startswith("airflow_azure_wi")} == {"airflow_azure_wi"}


@pytest.mark.parametrize("room", GROUND_FLOOR)
def test_the_ground_floor_loads_neither_airflow_nor_azure(room: str) -> None:
    assert heavy(modules_after(f"import airflow_azure_wi.{room}")) == []


def test_the_credentials_load_azure_only_when_one_is_built() -> None:
    assert heavy(modules_after("import airflow_azure_wi.auth")) == []


def test_a_synchronous_credential_loads_neither_the_asynchronous_half_nor_what_only_errors_need() -> None:
    modules = modules_after("""
from airflow_azure_wi.auth import credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
credential_for(WorkloadIdentity("client", "tenant"), Deployment.of({}), used_by="a test")
""")
    assert {"azure.identity", "airflow_azure_wi.auth.exchange"} <= modules
    assert modules.isdisjoint({"azure.identity.aio", "aiohttp", "msal_extensions", "airflow_azure_wi.federation.az"})


IMPORT_HOOK = """
import json, sys, time
from airflow.sdk import BaseHook
before, begun = set(sys.modules), time.perf_counter()
import airflow_azure_wi.hooks.azure_workload_identity
seconds = time.perf_counter() - begun
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def test_the_hook_adds_next_to_nothing_to_airflow() -> None:
    for attempt in range(3):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_HOOK], capture_output=True, text=True, check=True, timeout=120
        )
        seconds, added = json.loads(done.stdout.splitlines()[-1])
        assert [name for name in added if not name.startswith("airflow_azure_wi")] == []
        assert len(added) <= 5
        # The machine may be busy with something else, but hardly three times.
        if seconds < 0.020 or attempt == 2:
            assert seconds < 0.020
            return


def test_the_name_in_the_package_is_the_hook() -> None:
    import airflow_azure_wi
    from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

    assert airflow_azure_wi.AzureWorkloadIdentityHook is AzureWorkloadIdentityHook
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = airflow_azure_wi.nothing
