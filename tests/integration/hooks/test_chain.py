"""A chain: the workload's managed identity goes on to sign in as an application, in another tenant."""

import asyncio
import json
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi import AzureWorkloadIdentityHook, at
from airflow_azure_wi.doctor import Status, text
from airflow_azure_wi.errors import ClientError, IdentityError, TokenExchangeError
from airflow_azure_wi.federated_token import unverified_claims
from airflow_azure_wi.testing import Application, FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from tests.integration.conftest import trust_of

STORAGE = "https://storage.azure.com/.default"
FOR_THE_NEXT = "api://AzureADTokenExchange/.default"


@pytest.fixture
def connect(
    workload: OfflineAzure, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AzureWorkloadIdentityHook]:
    def connect(*chain: Any, who: ManagedIdentity = identity, **options: Any) -> AzureWorkloadIdentityHook:
        extra = who.as_json() | ({"chain": list(chain)} if chain else {})
        connection = {"conn_type": "azure_workload_identity", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
        return AzureWorkloadIdentityHook("azure_wi", **options)

    return connect


def entry(application: Application) -> dict[str, str]:
    return {"clientId": application.client_id, "tenantId": application.tenant_id}


def exchanges(azure: OfflineAzure) -> list[tuple[str, str, str, str | None]]:
    return [(each.client_id, each.tenant_id, each.scope, each.error_code) for each in azure.entra.exchanges]


def refusal_of(hook: AzureWorkloadIdentityHook) -> TokenExchangeError:
    with pytest.raises(TokenExchangeError) as caught:
        hook.get_token(STORAGE)
    assert "eyJ" not in str(caught.value)
    return caught.value


def apply(command: str, application: Application) -> None:
    """Do what Azure would do upon the command."""
    *words, parameters = shlex.split(command)
    assert words == [
        *("az", "ad", "app", "federated-credential", "create", "--id", application.client_id, "--parameters")
    ]
    created = json.loads(parameters)
    application.add_credential(
        FederatedIdentityCredential(created["name"], created["issuer"], created["subject"], tuple(created["audiences"]))
    )


@pytest.mark.parametrize("where", ["the connection", "the hook"])
def test_a_blob_is_read_as_the_application_with_one_exchange_a_hop(
    connect: Any, application: Application, identity: ManagedIdentity, azure: OfflineAzure, where: str
) -> None:
    hook = connect(entry(application)) if where == "the connection" else connect(chain=[entry(application)])
    service = hook.get_client(BlobServiceClient, account_url=azure.azurite.blob_url)
    container = service.get_container_client(f"chain-{uuid4()}")
    container.create_container()
    container.upload_blob("it", b"read as the application")
    assert container.download_blob("it").readall() == b"read as the application"
    claims = unverified_claims(hook.get_token(STORAGE).token) or {}
    assert (claims["appid"], claims["tid"]) == (application.client_id, application.tenant_id)
    assert exchanges(azure) == [
        (identity.client_id, identity.tenant_id, FOR_THE_NEXT, None),
        (application.client_id, application.tenant_id, STORAGE, None),
    ]
    assert hook.test_connection() == (
        True,
        f"Signed in as {application.client_id} (object id {application.principal_id}) in tenant "
        f"{application.tenant_id}.",
    )


def test_all_who_ask_share_each_hop(
    connect: Any, application: Application, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    hook = connect(entry(application))
    with ThreadPoolExecutor(20) as pool:
        tokens = {token.token for token in pool.map(hook.get_token, [STORAGE] * 20)}
    tokens.add(asyncio.run(hook.aget_token(STORAGE)).token)
    assert len(tokens) == 1
    hook.get_token("https://vault.azure.net/.default")
    # Whoever signs in as the managed identity itself uses what the chain has of it.
    AzureWorkloadIdentityHook("azure_wi", chain=[]).get_token(FOR_THE_NEXT)
    assert [each[:3:2] for each in exchanges(azure)] == [
        (identity.client_id, FOR_THE_NEXT),
        (application.client_id, STORAGE),
        (application.client_id, "https://vault.azure.net/.default"),
    ]


def test_the_hook_goes_before_the_connection(connect: Any, application: Application) -> None:
    hook = connect({"clientId": str(uuid4()), "tenantId": str(uuid4())}, chain=[entry(application)])
    assert hook.get_token(STORAGE).token


def test_a_break_at_the_first_hop(
    connect: Any, application: Application, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    identity.remove_credential("worker")
    hook = connect(entry(application))
    refusal = refusal_of(hook)
    assert refusal.code == "AADSTS70021"
    first, second, *_ = str(refusal).splitlines()
    assert first.startswith(f"connection 'azure_wi' (client id {application.client_id}, ")
    assert first.endswith("hop 2 of its chain: not asked for, as the hop before it gave no client assertion.")
    assert second.startswith(f"connection 'azure_wi' (client id {identity.client_id}, ")
    assert second.endswith(f": no access token for scope {FOR_THE_NEXT}.")
    assert "az identity federated-credential" in str(refusal)
    assert {each[0] for each in exchanges(azure)} == {identity.client_id}
    [failed] = hook.examine().failed()
    [command] = failed.commands
    assert command.startswith("az identity federated-credential create ")
    assert f"--identity-name {identity.name} " in command


@pytest.mark.parametrize(
    ("differs", "code"),
    [("nothing", "AADSTS70021"), ("issuer", "AADSTS700211"), ("subject", "AADSTS700213")],
)
def test_a_break_at_the_second_hop_is_mended_by_what_is_proposed(
    connect: Any, application: Application, identity: ManagedIdentity, differs: str, code: str
) -> None:
    application.remove_credential("airflow")
    if differs != "nothing":
        other = trust_of(ManagedIdentity(tenant_id=identity.tenant_id) if differs == "subject" else ManagedIdentity())
        application.add_credential(other)
    hook = connect(entry(application))
    refusal = refusal_of(hook)
    assert refusal.code == code
    said = str(refusal)
    assert said.startswith(
        f"connection 'azure_wi' (client id {application.client_id}, tenant {application.tenant_id}), hop 2 of its "
        f"chain: no access token for scope {STORAGE}.\nNo federated identity credential of the application trusts"
    )
    assert f"subject {identity.principal_id!r}" in said
    assert f"the access token of client id {identity.client_id}" in said
    assert refusal.command is not None
    assert f"\n{refusal.command}\n" in said

    report = hook.examine()
    assert [result.name for result in report.failed()] == ["token exchange"]
    assert text.render(report).endswith(f"\n{refusal.command}\n")
    apply(refusal.command, application)
    assert hook.get_token(STORAGE).token


def test_an_application_that_is_registered_in_the_other_tenant(
    connect: Any, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    elsewhere = Application()
    elsewhere.add_credential(trust_of(identity))
    azure.entra.register(elsewhere)
    refusal = refusal_of(connect(entry(elsewhere)))
    assert refusal.code == "AADSTS700236"
    assert "registered in another tenant than the managed identity" in str(refusal)


def test_the_token_of_an_application_is_no_client_assertion(
    connect: Any, application: Application, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    third = Application(home_tenant_id=application.tenant_id)
    third.add_credential(trust_of(application))
    azure.entra.register(third)
    hook = connect(entry(application), entry(third))
    refusal = refusal_of(hook)
    assert refusal.code == "AADSTS700222"
    assert f"(client id {third.client_id}, tenant {third.tenant_id}), hop 3 of its chain" in str(refusal)
    assert "Let the chain end with one application" in str(refusal)
    assert [each[0] for each in exchanges(azure)] == [identity.client_id, application.client_id, third.client_id]


def test_an_application_that_the_tenant_does_not_know(connect: Any, application: Application) -> None:
    unknown = entry(application) | {"clientId": str(uuid4())}
    refusal = refusal_of(connect(unknown))
    assert refusal.command == f"az ad sp create --id {unknown['clientId']}"
    assert "hop 2 of its chain" in str(refusal)


def test_tokens_of_another_tenant_do_not_pass_for_those_of_this_one(
    connect: Any, application: Application, azure: OfflineAzure
) -> None:
    """The issuer names the tenant, and the simulated Entra signs for each tenant as itself."""
    impostor = ManagedIdentity(principal_id=application.federated_credentials[0].subject)
    [trusted] = azure.identity.federated_credentials
    impostor.add_credential(trusted)
    azure.entra.register(impostor)
    assert refusal_of(connect(entry(application), who=impostor)).code == "AADSTS700211"


def test_stock_hooks_go_through_the_chain_too(connect: Any, application: Application, azure: OfflineAzure) -> None:
    connect(entry(application))
    stock = WasbHook(at("azure_wi", azure.azurite.blob_url))
    assert list(stock.get_conn().list_containers()) is not None
    assert exchanges(azure)[-1] == (application.client_id, application.tenant_id, STORAGE, None)


def test_the_doctor_names_every_hop(connect: Any, application: Application, identity: ManagedIdentity) -> None:
    report = connect(entry(application)).examine()
    assert {result.status for result in report.results} == {Status.OK}
    assert (
        f"client id {identity.client_id}, tenant {identity.tenant_id}, and through it client id "
        f"{application.client_id}, tenant {application.tenant_id}"
    ) in report.results[0].found


def test_there_are_no_variables_for_a_chain(connect: Any, application: Application) -> None:
    with pytest.raises(ClientError, match="connection 'azure_wi' signs in through a chain"):
        connect(entry(application)).environment()


def test_a_chain_names_ids_and_neither_files_nor_hosts(connect: Any, application: Application) -> None:
    for name in ("authority", "authority_host", "token_file_path", "AZURE_FEDERATED_TOKEN_FILE"):
        with pytest.raises(IdentityError, match=rf"chain\[0\]: it has '{name}', expected clientId and tenantId and"):
            connect(entry(application) | {name: "https://evil.example.com"}).get_token(STORAGE)
