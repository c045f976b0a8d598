"""Programs of others, which a test starts with what the hook gives them to sign in by, and nothing else."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure

ROOT = Path(__file__).parents[3]

# Returns what the program printed, and fails the test if it failed.
Start = Callable[..., str]


@pytest.fixture
def hook(
    workload: OfflineAzure, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> AzureWorkloadIdentityHook:
    connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
    return AzureWorkloadIdentityHook("azure_wi")


@pytest.fixture
def surroundings(azure: OfflineAzure, tmp_path: Path) -> dict[str, str]:
    """Return whom to trust and by which proxy to go: everything of the offline Azure but how to sign in to it."""
    offline = {name: value for name, value in azure.environment().items() if not name.startswith("AZURE_")}
    return {"HOME": str(tmp_path), "PATH": os.defpath} | offline


@pytest.fixture
def start(hook: AzureWorkloadIdentityHook, surroundings: dict[str, str]) -> Start:
    """Start a program with the variables of the hook."""

    def start(*command: str | Path) -> str:
        done = subprocess.run(
            command,
            env=surroundings | hook.environment(),
            cwd=surroundings["HOME"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return start


@pytest.fixture
def container(hook: AzureWorkloadIdentityHook, azure: OfflineAzure) -> ContainerClient:
    """A new container of the account ``acct``, with a blob; what it took to make it is on no record."""
    account = hook.get_client(BlobServiceClient, account_url="https://acct.blob.core.windows.net")
    container = account.create_container(f"tools-{uuid4()}")
    container.upload_blob("numbers.csv", b"n\n1\n2\n")
    azure.entra.clear()
    return container


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the programs in .venvs/tools, which nox makes."""
    # Processes that test at the same time wait for each other.
    with (ROOT / ".venvs" / "tools.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([sys.executable, ROOT / "dev" / "nox", "--session", "tools"], check=True)
    return ROOT / ".venvs" / "tools" / "bin"
