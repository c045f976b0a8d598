"""What asynchronous code must never do: wait for the supervisor in the thread of the event loop."""

import asyncio
import json
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.testing import ManagedIdentity


class Supervisor:
    """What a task or a trigger talks to; knows whether it was ever asked from within an event loop."""

    def __init__(self) -> None:
        self.blocked_a_loop = False

    def send(self, message: Any) -> None:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            self.blocked_a_loop = True

    async def asend(self, message: Any) -> None:
        pass


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """The supervisor of this process; Airflow 2.11 has none."""
    supervisor = Supervisor()
    with suppress(ModuleNotFoundError):
        task_runner = import_module("airflow.sdk.execution_time.task_runner")
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def test_reading_the_connection_does_not_block_the_event_loop(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow masks what it reads, which tells the supervisor: another coroutine may be waiting for it just then."""
    identity = ManagedIdentity()
    connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
    hook = AzureWorkloadIdentityHook("azure_wi")
    asyncio.run(hook.aget_credential())
    assert hook.get_identity().client_id == identity.client_id
    assert not supervisor.blocked_a_loop
