"""The hook on a laptop: no token is projected, and a developer is signed in."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.doctor import Status
from airflow_azure_wi.errors import DeploymentError, FederatedTokenError, TokenExchangeError
from airflow_azure_wi.provider import DEVELOPMENT_CREDENTIALS
from airflow_azure_wi.testing import Application, ManagedIdentity, OfflineAzure
from airflow_azure_wi.tokens import unverified_claims
from tests.fake_developer import FakeDeveloper

STORAGE = "https://storage.azure.com/.default"
OPTION = "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DEVELOPMENT_CREDENTIAL"
ADA = "ada@contoso.com"


@pytest.fixture
def developer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDeveloper:
    developer = FakeDeveloper(tmp_path / "bin")
    developer.sign_in(ADA)
    monkeypatch.setenv("PATH", developer.path())
    return developer


@pytest.fixture
def token_file(workload: OfflineAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a federated token would be."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "federated-token"))
    return tmp_path / "federated-token"


@pytest.fixture
def laptop(
    token_file: Path, developer: FakeDeveloper, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], AzureWorkloadIdentityHook]:
    def laptop(development_credential: str) -> AzureWorkloadIdentityHook:
        connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
        monkeypatch.setenv(OPTION, development_credential)
        return AzureWorkloadIdentityHook("azure_wi")

    return laptop


def account_of(token: str) -> Any:
    claims = unverified_claims(token) or {}
    return claims.get("upn") or claims.get("appid")


@pytest.mark.parametrize("tool", ["azure_cli", "azure_developer_cli"])
def test_the_developer_signs_in_and_that_is_said_once(
    laptop: Any,
    developer: FakeDeveloper,
    identity: ManagedIdentity,
    azure: OfflineAzure,
    tool: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook = laptop(tool)
    service = hook.get_client(BlobServiceClient, account_url=azure.azurite.blob_url)
    assert list(service.list_containers()) is not None
    in_a_coroutine = asyncio.run(hook.aget_token(STORAGE)).token
    assert hook.get_token(STORAGE).token == in_a_coroutine
    assert account_of(in_a_coroutine) == ADA
    assert (unverified_claims(in_a_coroutine) or {})["tid"] == identity.tenant_id
    assert len(developer.calls) == 1
    assert azure.entra.exchanges == []
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    said = warning.getMessage()
    assert f"signed in as {ADA} with azure-identity's {DEVELOPMENT_CREDENTIALS[tool]}" in said
    assert "connection 'azure_wi'" in said
    assert f"[azure_workload_identity] development_credential = {tool}" in said


def test_an_application_signs_in_with_the_variables_of_azure_identity_in_the_tenant_of_the_connection(
    laptop: Any, identity: ManagedIdentity, azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Application(tenant_id=identity.tenant_id, secret="a client secret")
    azure.entra.register(application)
    monkeypatch.setenv("AZURE_CLIENT_ID", application.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a client secret")
    monkeypatch.setenv("AZURE_TENANT_ID", "home-of-the-application.example.com")
    hook = laptop("environment")
    assert account_of(hook.get_token(STORAGE).token) == application.client_id
    [exchange] = azure.entra.exchanges
    assert exchange.tenant_id == identity.tenant_id


@pytest.mark.parametrize("tool", DEVELOPMENT_CREDENTIALS)
def test_where_a_token_is_projected_no_developer_signs_in(
    laptop: Any, developer: FakeDeveloper, token_file: Path, identity: ManagedIdentity, azure: OfflineAzure, tool: str
) -> None:
    token_file.write_text(azure.projected_token.path.read_text())
    hook = laptop(tool)
    assert account_of(hook.get_token(STORAGE).token) == identity.client_id
    assert hook.environment()["AZURE_FEDERATED_TOKEN_FILE"] == str(token_file)
    assert hook.test_connection() == (True, hook.examine().signed_in)
    assert "developer" not in hook.test_connection()[1]
    assert developer.calls == []


def test_a_token_that_is_no_good_lets_no_developer_in_either(
    laptop: Any, developer: FakeDeveloper, token_file: Path
) -> None:
    hook = laptop("azure_cli")
    token_file.write_text("")
    with pytest.raises(FederatedTokenError, match="an empty file"):
        hook.get_token(STORAGE)
    token_file.unlink()
    token_file.symlink_to(token_file.parent / "nowhere")
    with pytest.raises(FederatedTokenError, match="does not exist"):
        hook.get_token(STORAGE)
    assert developer.calls == []


def test_a_token_that_appears_ends_it(
    laptop: Any, token_file: Path, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    hook = laptop("azure_cli")
    credential = hook.get_credential()
    assert account_of(credential.get_token(STORAGE).token) == ADA
    token_file.write_text(azure.projected_token.path.read_text())
    assert account_of(hook.get_token(STORAGE).token) == identity.client_id
    # Whoever kept the credential from before keeps the access token that it holds, and gets no other in this way.
    assert account_of(credential.get_token("https://vault.azure.net/.default").token) == identity.client_id


def test_unset_the_error_names_the_option(laptop: Any, developer: FakeDeveloper) -> None:
    with pytest.raises(FederatedTokenError, match=r"\[azure_workload_identity\] development_credential = azure_cli"):
        laptop("").get_token(STORAGE)
    assert developer.calls == []


def test_another_value_is_an_error(laptop: Any) -> None:
    expected = r"development_credential is 'az', expected one of azure_cli, azure_developer_cli, environment"
    with pytest.raises(DeploymentError, match=expected):
        laptop("az").get_token(STORAGE)
    assert "development_credential is 'az'" in laptop("az").test_connection()[1]


@pytest.mark.parametrize(
    ("tool", "remedy"),
    [
        ("azure_cli", "az login --tenant {tenant}"),
        ("azure_developer_cli", "azd auth login --tenant-id {tenant}"),
        ("environment", "AZURE_CLIENT_SECRET"),
    ],
)
def test_a_developer_who_is_not_signed_in_learns_how(
    laptop: Any, developer: FakeDeveloper, identity: ManagedIdentity, tool: str, remedy: str
) -> None:
    developer.sign_out()
    with pytest.raises(TokenExchangeError) as caught:
        laptop(tool).get_token(STORAGE)
    assert "connection 'azure_wi'" in str(caught.value)
    assert f"azure-identity's {DEVELOPMENT_CREDENTIALS[tool]} was asked instead" in str(caught.value)
    assert remedy.format(tenant=identity.tenant_id) in str(caught.value)


def test_the_test_says_that_it_is_a_developer(laptop: Any, identity: ManagedIdentity) -> None:
    works, said = laptop("azure_cli").test_connection()
    assert works
    assert said.startswith(f"Signed in as {ADA} (object id 11111111-2222-3333-4444-555555555555) in tenant ")
    assert "developer ((azure_workload_identity) development_credential = azure_cli), not" in said


def test_the_doctor_says_what_it_could_not_look_at(laptop: Any) -> None:
    report = laptop("azure_developer_cli").examine(scopes=[STORAGE])
    by_name = {result.name: result for result in report.results}
    assert by_name["token file"].status is Status.WARNING
    assert "a developer signs in, not" in by_name["token file"].found
    assert by_name["TLS"].found == "the Azure Developer CLI gets access tokens on its own network path"
    assert by_name["scope"].status is Status.OK


def test_another_process_signs_in_in_the_same_way(
    laptop: Any, developer: FakeDeveloper, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = laptop("azure_cli").environment()
    assert variables["AZURE_TOKEN_CREDENTIALS"] == "AzureCliCredential"
    assert variables.keys().isdisjoint({"AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert account_of(DefaultAzureCredential().get_token(STORAGE).token) == ADA
    developer.sign_out()
    with pytest.raises(ClientAuthenticationError, match="AzureCliCredential"):
        DefaultAzureCredential().get_token(STORAGE)
