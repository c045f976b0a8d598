"""The stock secrets backend for Azure Key Vault, which signs in with the credential that everything here shares."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from airflow.providers.microsoft.azure.secrets import key_vault
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.airflow_program import CONNECTION, Airflow
from tests.key_vault import AUDIENCE, HOST, URL, KeyVault

BACKEND = "airflow.providers.microsoft.azure.secrets.key_vault.AzureKeyVaultBackend"
SCOPE = f"{AUDIENCE}/.default"
PREFLIGHT = "azure_workload_identity_preflight"
PARAMETERS = json.dumps({"conn_id": CONNECTION, "scopes": ["https://storage.azure.com/.default"]})

# Airflow's own commands that read a Variable turn the log off. In some versions, each read makes a backend.
READ_TWICE = """
import os
os.dup2(1, 2)
from airflow.models import Variable
print([Variable.get("greeting") for _ in range(2)])
"""


@pytest.fixture
def vault(azure: OfflineAzure) -> Iterator[KeyVault]:
    """A vault whose secrets the workload's identity may read."""
    vault = KeyVault(azure, azure.identity)
    vault.secrets["airflow-variables-greeting"] = "hello from the vault"
    with azure.serving(vault.app, HOST):
        yield vault


def backend(azure: OfflineAzure, **settings: str | None) -> dict[str, str]:
    """Return the environment variables that configure the backend."""
    kwargs = {"vault_url": URL, "config_prefix": None, **ids_of(azure.identity), **settings}
    return azure.environment() | {
        "AIRFLOW__SECRETS__BACKEND": BACKEND,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(kwargs),
    }


def ids_of(identity: ManagedIdentity) -> dict[str, str]:
    return {"managed_identity_client_id": identity.client_id, "workload_identity_tenant_id": identity.tenant_id}


def cache_on_disk(folder: Path) -> dict[str, str]:
    section = "AIRFLOW__AZURE_WORKLOAD_IDENTITY__"
    return {f"{section}TOKEN_CACHE": "disk", f"{section}TOKEN_CACHE_FOLDER": str(folder / "tokens")}


def test_two_commands_and_a_task_make_one_exchange_and_find_what_is_in_the_vault(
    airflow: Airflow, azure: OfflineAzure, vault: KeyVault, identity: ManagedIdentity, tmp_path: Path
) -> None:
    connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
    vault.secrets[f"airflow-connections-{CONNECTION.replace('_', '-')}"] = json.dumps(connection)
    variables = backend(azure) | cache_on_disk(tmp_path)
    for _ in range(2):
        assert "hello from the vault" in airflow.run("variables", "get", "greeting", **variables).stdout
    assert vault.read == ["airflow-variables-greeting"] * 2
    done = airflow.run("dags", "test", PREFLIGHT, "--conf", PARAMETERS, **variables)
    said = done.stdout + done.stderr
    assert f"Signed in as {identity.client_id}" in said, said
    of_backend = [exchange.client_id for exchange in azure.entra.exchanges if exchange.scope == SCOPE]
    assert of_backend == [azure.identity.client_id]
    assert azure.projected_token.path.read_text() not in said


def test_a_mistake_is_said_once_and_does_not_stop_airflow(
    airflow: Airflow, azure: OfflineAzure, vault: KeyVault
) -> None:
    variables = backend(azure, managed_identity_client_id="nonsense")
    said = airflow.python(READ_TWICE, **variables, AIRFLOW_VAR_GREETING="hello from the environment")
    assert str(["hello from the environment"] * 2) in said
    assert said.count("managed_identity_client_id is 'nonsense', expected a GUID") == 1
    assert "DefaultAzureCredential" in said, "as the stock backend does"


def test_an_identity_that_does_not_exist_does_not_stop_airflow(
    airflow: Airflow, azure: OfflineAzure, vault: KeyVault
) -> None:
    unknown = str(uuid4())
    variables = backend(azure, managed_identity_client_id=unknown)
    said = airflow.python(READ_TWICE, **variables, AIRFLOW_VAR_GREETING="hello from the environment")
    assert str(["hello from the environment"] * 2) in said
    # Airflow logs the error at each read, whatever the backend is.
    settings = "the secrets backend AzureKeyVaultBackend (backend_kwargs in Airflow's configuration)"
    assert said.count(f"{settings} (client id {unknown}, tenant ") == 2
    assert said.count("AADSTS700016") == 2


def test_without_a_token_file_the_stock_credential_is_used(
    workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "missing"))
    credentials = [key_vault.get_sync_default_azure_credential(**ids_of(workload.identity)) for _ in range(2)]
    assert {type(credential) for credential in credentials} == {DefaultAzureCredential}
    [warning] = [record.getMessage() for record in caplog.records if record.name == "airflow_azure_wi.bridge"]
    assert re.search(
        r"missing' \(from the environment variable AZURE_FEDERATED_TOKEN_FILE\) does not exist.*\n"
        r"Until that is fixed, the secrets backend AzureKeyVaultBackend .* signs in as it does without",
        warning,
    )


def test_a_mistake_in_this_package_s_options_is_not_raised_either(
    workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE", "tape")
    assert type(key_vault.get_sync_default_azure_credential(**ids_of(workload.identity))) is DefaultAzureCredential
    assert "token_cache is 'tape', expected memory or disk" in caplog.text


def test_with_one_id_or_none_it_stays_as_it_is(workload: OfflineAzure, caplog: pytest.LogCaptureFixture) -> None:
    ids = ids_of(workload.identity)
    for given in ({}, *({name: ids[name]} for name in ids), dict.fromkeys(ids, "")):
        assert type(key_vault.get_sync_default_azure_credential(**given)) is DefaultAzureCredential
    assert "airflow-azure-wi" not in caplog.text


def test_with_a_secret_it_stays_as_it_is(workload: OfflineAzure, vault: KeyVault) -> None:
    identity = workload.identity
    application = {"tenant_id": identity.tenant_id, "client_id": identity.client_id, "client_secret": "wrong"}
    stock = key_vault.AzureKeyVaultBackend(vault_url=URL, **application, **ids_of(identity))
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        stock.get_variable("greeting")
