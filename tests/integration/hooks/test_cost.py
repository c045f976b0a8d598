"""What a warm call of the hook does not do again, and when it does after all."""

import asyncio
import copy
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import MaskSecret

from airflow_azure_wi import AzureWorkloadIdentityHook, airflow_compat
from airflow_azure_wi.errors import DeploymentError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure

STORAGE = "https://storage.azure.com/.default"
VAULT = "https://vault.azure.net/.default"
OPTION = "AIRFLOW__AZURE_WORKLOAD_IDENTITY__FEDERATED_TOKEN_FILE"


class Supervisor:
    """Takes the place of the connection to a task's supervisor, and writes down which tokens it is asked to mask."""

    def __init__(self) -> None:
        self.masked: list[Any] = []

    def send(self, message: Any) -> None:
        # What is in a connection is masked by Airflow.
        if isinstance(message, MaskSecret) and str(message.value).startswith("eyJ"):
            self.masked.append(message.value)

    async def asend(self, message: Any) -> None:
        self.send(message)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def hook(workload: OfflineAzure, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch) -> Any:
    connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
    hook = AzureWorkloadIdentityHook("azure_wi")
    hook.get_identity()
    return hook


def test_the_supervisor_is_told_of_a_token_once(hook: Any, supervisor: Supervisor) -> None:
    tokens = {hook.get_token(STORAGE).token for _ in range(3)} | {asyncio.run(hook.aget_token(STORAGE)).token}
    tokens.add(AzureWorkloadIdentityHook("azure_wi").get_token(STORAGE).token)
    assert supervisor.masked == list(tokens)


def test_it_is_told_of_each_token(hook: Any, supervisor: Supervisor) -> None:
    tokens = [hook.get_token(STORAGE).token, asyncio.run(hook.aget_token(VAULT)).token]
    assert supervisor.masked == tokens


def test_the_supervisor_of_a_forked_task_is_told_too(hook: Any, supervisor: Supervisor) -> None:
    token = hook.get_token(STORAGE).token
    supervisor.masked.clear()

    def tell_again() -> list[str]:
        hook.get_token(STORAGE)
        return supervisor.masked

    assert in_a_fork(tell_again) == [token]


def in_a_fork(call: Callable[[], Any]) -> Any:
    """Return what a call returns in a forked process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(call()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_a_token_that_could_not_be_masked_is_masked_later(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    with monkeypatch.context() as broken:
        broken.setattr(airflow_compat, "mask_secret", lambda token: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            hook.get_token(STORAGE)
    monkeypatch.setattr(airflow_compat, "mask_secret", masked.append)
    assert hook.get_token(STORAGE).token == masked[0]


def test_what_is_remembered_of_masked_tokens_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    # Airflow's own masker keeps each forever.
    monkeypatch.setattr(airflow_compat, "mask_secret", lambda token: None)
    tracemalloc.start()
    try:
        for number in range(50_000):
            airflow_compat.mask_once(f"token {number}")
        remembered, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert remembered < 300_000


def test_the_options_are_read_once(hook: Any, azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE")
    monkeypatch.setenv(OPTION, str(azure.projected_token.path))
    assert hook.get_token(STORAGE).token
    monkeypatch.setenv(OPTION, "/of/another/test")
    assert hook.environment()["AZURE_FEDERATED_TOKEN_FILE"] == str(azure.projected_token.path)
    airflow_compat.start_over()
    assert hook.environment()["AZURE_FEDERATED_TOKEN_FILE"] == "/of/another/test"


@pytest.mark.parametrize("kind", ["get_credential", "get_async_credential"])
def test_a_variable_that_changes_is_honoured(hook: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = getattr(hook, kind)()
    assert getattr(hook, kind)() is before
    file = os.environ["AZURE_FEDERATED_TOKEN_FILE"]
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/elsewhere")
    assert hook.environment()["AZURE_FEDERATED_TOKEN_FILE"] == "/elsewhere"
    assert getattr(hook, kind)() is not before
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", file)
    assert getattr(hook, kind)() is before
    monkeypatch.delenv("AZURE_AUTHORITY_HOST")
    assert hook.environment()["AZURE_AUTHORITY_HOST"] == "https://login.microsoftonline.com"
    assert getattr(hook, kind)() is not before
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example.com")
    for _ in range(2):
        with pytest.raises(DeploymentError, match="AZURE_AUTHORITY_HOST"):
            getattr(hook, kind)()


def test_the_deployment_is_not_read_again_while_nothing_changes(workload: OfflineAzure) -> None:
    assert airflow_compat.deployment() is airflow_compat.deployment()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda hook: pickle.loads(pickle.dumps(hook))])
def test_a_copy_of_a_used_hook_signs_in_where_it_is(
    hook: Any, copied: Callable[[Any], Any], azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = hook.get_token(STORAGE).token
    there = copied(hook)
    assert there.get_token(STORAGE).token == token
    assert there.get_credential() is hook.get_credential()
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/elsewhere")
    with pytest.raises(Exception, match="'/elsewhere'") as caught:
        copied(hook).get_token(STORAGE)
    assert str(caught.value).startswith("connection 'azure_wi' (client id")
