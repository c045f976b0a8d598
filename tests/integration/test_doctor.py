"""The doctor, with real exchanges: each cause has its own explanation, and what it proposes fixes it."""

import json
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from airflow_azure_wi.doctor import DoctorContext, Report, Status, examine
from airflow_azure_wi.federation import IdentityResource
from airflow_azure_wi.testing import (
    Certificates,
    FederatedIdentityCredential,
    ManagedIdentity,
    OfflineAzure,
    Refuse,
)
from airflow_azure_wi.testing.offline import NAMESPACE, SERVICE_ACCOUNT
from airflow_azure_wi.testing.storage_refusals import without_a_role
from tests.fake_az import FakeAz
from tests.stored_connection import StoredConnection

SUBJECT = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


@pytest.fixture
def doctor(workload: OfflineAzure, identity: ManagedIdentity) -> Callable[..., Report]:
    """Examine the sign-in of this process as the identity; no report may hold a token."""
    import os

    def doctor(**options: Any) -> Report:
        resource = IdentityResource(identity.name, identity.resource_group) if options.pop("named", True) else None
        extra = options.pop("extra", {"clientId": identity.client_id, "tenantId": identity.tenant_id})
        context = DoctorContext.of(StoredConnection(extra), environment=os.environ, resource=resource)
        report = examine(context, **options)
        for shown in (report.as_text(), json.dumps(report.as_json()), report.verdict()):
            assert "eyJ" not in shown
        return report

    return doctor


@pytest.fixture
def project(workload: OfflineAzure) -> Iterator[Callable[..., None]]:
    """Project another token than the workload's usual one, until the next rotation."""

    def project(**claims: Any) -> None:
        token = workload.cluster.service_account_token(NAMESPACE, SERVICE_ACCOUNT, **claims)
        workload.projected_token.path.write_text(token)

    yield project
    workload.projected_token.rotate()


def found(report: Report, name: str) -> str:
    [result] = [result for result in report.results if result.name == name]
    return f"{result.status.value}: {result.found}" + (f"\n{result.next_step}" if result.next_step else "")


def said(report: Report) -> str:
    """Return who signed in or, if checks failed, what they found and what to do."""
    if report.signed_in is not None and report.is_ok:
        return report.signed_in
    failed = report.failed()
    return "\n".join(text for one in failed for text in (one.found, one.next_step or "", *one.commands))


def failed(report: Report) -> list[str]:
    return [result.name for result in report.failed()]


def command_of(report: Report) -> str:
    [command] = [command for result in report.failed() for command in result.commands]
    assert report.as_text().endswith(f"\n{command}\n")
    return command


def apply(command: str, identity: ManagedIdentity) -> None:
    """Do what Azure would do upon the command."""
    words = shlex.split(command.splitlines()[-1])
    assert words[:4] == ["az", "identity", "federated-credential", "create"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert (options["--identity-name"], options["--resource-group"]) == (identity.name, identity.resource_group)
    identity.add_credential(
        FederatedIdentityCredential(
            options["--name"], options["--issuer"], options["--subject"], (options["--audiences"],)
        )
    )


def run_in_sh(command: str, identity: ManagedIdentity, tmp_path: Path) -> None:
    """Do it with an az that holds the credentials of the identity."""
    az = FakeAz(tmp_path / "bin", identity.as_json())
    for each in identity.federated_credentials:
        az.add(each.name, each.issuer, each.subject, each.audiences[0])
        identity.remove_credential(each.name)
    subprocess.run(["sh", "-c", command], env=az.environment(), check=True)
    for created in az.credentials:
        identity.add_credential(
            FederatedIdentityCredential(
                created["name"], created["issuer"], created["subject"], tuple(created["audiences"])
            )
        )


def test_a_workload_that_is_linked_signs_in(
    doctor: Callable[..., Report], identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    azure.projected_token.rotate()
    report = doctor(scopes=["https://storage.azure.com/.default"])
    assert report.is_ok, report.as_text()
    assert {result.status for result in report.results} == {Status.OK}
    assert [result.name for result in report.results] == [
        *("identity", "environment", "token file", "issuer, subject", "audience", "token lifetime"),
        *("DNS", "TCP", "TLS", "clock", "token exchange", "access token", "scope"),
    ]
    assert said(report) == (
        f"Signed in as {identity.client_id} (object id {identity.principal_id}) in tenant {identity.tenant_id}."
    )
    assert "expires in 60 min" in found(report, "token lifetime")
    assert f"subject {SUBJECT}" in found(report, "issuer, subject")
    assert "ca.pem" in found(report, "TLS")


def test_a_missing_credential(doctor: Callable[..., Report], identity: ManagedIdentity) -> None:
    identity.remove_credential("worker")
    report = doctor()
    assert failed(report) == ["token exchange"]
    assert "AADSTS70025:" in found(report, "token exchange")
    assert "Failed: token exchange." in report.as_text()
    apply(command_of(report), identity)
    assert doctor().is_ok


def test_a_missing_subject_among_others(doctor: Callable[..., Report], identity: ManagedIdentity) -> None:
    [worker] = identity.federated_credentials
    identity.add_credential(replace(worker, subject="system:serviceaccount:airflow:airflow-scheduler"))
    report = doctor()
    assert "this workload's service account is not linked" in " ".join(found(report, "token exchange").split())
    apply(command_of(report), identity)
    assert doctor().is_ok
    assert len(identity.federated_credentials) == 2


def test_a_wrong_issuer(doctor: Callable[..., Report], identity: ManagedIdentity) -> None:
    [worker] = identity.federated_credentials
    identity.add_credential(replace(worker, issuer=f"{worker.issuer}/"))
    report = doctor()
    assert "AADSTS700211" in found(report, "token exchange")
    assert "a trailing slash included" in found(report, "token exchange")
    apply(command_of(report), identity)
    assert doctor().is_ok


def test_a_wrong_audience(
    doctor: Callable[..., Report], project: Callable[..., None], identity: ManagedIdentity
) -> None:
    identity.remove_credential("worker")
    apply(command_of(doctor()), identity)
    project(audience="https://kubernetes.default.svc")
    report = doctor()
    expected = "warning: https://kubernetes.default.svc; AzurePublicCloud expects api://AzureADTokenExchange"
    assert expected in found(report, "audience")
    assert "AADSTS700212" in found(report, "token exchange")
    assert "Project the federated token with the audience" in found(report, "token exchange")
    # No credential may expect the audience of the API server.
    assert not [result.commands for result in report.results if result.commands]


def test_an_audience_of_its_own_may_be_expected(
    doctor: Callable[..., Report], project: Callable[..., None], identity: ManagedIdentity, tmp_path: Path
) -> None:
    project(audience=["https://kubernetes.default.svc", "api://own"])
    report = doctor()
    assert "AADSTS700212" in found(report, "token exchange")
    # Issuer and subject are unique on an identity, so the credential that is there is replaced.
    run_in_sh(command_of(report), identity, tmp_path)
    assert [each.audiences for each in identity.federated_credentials] == [("api://own",)]
    assert doctor().is_ok


def test_an_expired_token(doctor: Callable[..., Report], project: Callable[..., None], workload: OfflineAzure) -> None:
    project(lifetime=-3 * 3600)
    report = doctor()
    assert failed(report) == ["token lifetime"]
    assert "expired 3 h ago" in found(report, "token lifetime")
    assert "subPath" in found(report, "token lifetime")
    assert found(report, "token exchange") == "skipped: the federated token has expired"
    assert SUBJECT in said(report)
    assert not [result.commands for result in report.results if result.commands]
    workload.projected_token.rotate()
    assert doctor().is_ok


def test_a_token_that_only_entra_finds_expired(doctor: Callable[..., Report], workload: OfflineAzure) -> None:
    workload.entra.fail_next(Refuse("AADSTS700024"), Refuse("AADSTS700024"))
    report = doctor()
    assert failed(report) == ["token exchange"]
    assert "outside its validity period" in found(report, "token exchange")
    assert "clock" in found(report, "token exchange")
    assert not [result.commands for result in report.results if result.commands]


def test_the_command_for_an_identity_of_unknown_name_runs_in_plain_sh(
    doctor: Callable[..., Report], identity: ManagedIdentity, tmp_path: Path
) -> None:
    identity.remove_credential("worker")
    run_in_sh(command_of(doctor(named=False)), identity, tmp_path)
    assert doctor().is_ok


def test_a_connection_that_holds_all_that_az_prints_names_the_identity(
    doctor: Callable[..., Report], identity: ManagedIdentity
) -> None:
    identity.remove_credential("worker")
    command = command_of(doctor(named=False, extra=identity.as_json()))
    assert f"--identity-name {identity.name} --resource-group {identity.resource_group}" in command
    assert f"--subscription {identity.subscription_id}" in command


def test_each_examination_makes_an_exchange_of_its_own(
    workload: OfflineAzure, identity: ManagedIdentity, tmp_path: Path
) -> None:
    """A token that is kept on disk says nothing about whether signing in works now."""
    options = {"token_cache": "disk", "token_cache_folder": str(tmp_path / "tokens")}
    context = DoctorContext.of(
        StoredConnection(identity.as_json()), environment=workload.environment(), options=options
    )
    assert examine(context).is_ok
    identity.remove_credential("worker")
    assert failed(examine(context)) == ["token exchange"]
    assert not (tmp_path / "tokens").exists()


def test_what_is_wrong_with_the_identity_leaves_the_rest_to_be_checked(doctor: Callable[..., Report]) -> None:
    report = doctor(extra={"clientId": "x"})
    assert failed(report) == ["identity"]
    assert "clientId is 'x'" in said(report)
    assert "ok: " in found(report, "token lifetime")
    assert "ok: " in found(report, "TLS")
    assert found(report, "token exchange") == "skipped: no valid identity is configured"


def test_a_missing_token_leaves_the_rest_to_be_checked(
    doctor: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/does/not/exist")
    report = doctor()
    assert failed(report) == ["token file"]
    assert "ok: " in found(report, "TLS")


def test_a_token_in_place_of_its_path_is_not_shown(
    doctor: Callable[..., Report], workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", workload.projected_token.path.read_text())
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", workload.projected_token.path.read_text())
    report = doctor()
    assert failed(report) == ["environment", "token file"]
    assert "AZURE_FEDERATED_TOKEN_FILE is something that looks like a token (not shown)" in said(report)
    assert workload.projected_token.path.read_text() not in said(report)


def test_an_authority_that_cannot_be_used(doctor: Callable[..., Report], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example.com")
    report = doctor()
    assert failed(report) == ["environment"]
    assert "ok: " in found(report, "token lifetime")
    assert "skipped" in found(report, "TLS")


@pytest.fixture
def no_proxy(workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the offline Azure's own proxy."""
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_proxy")
def test_a_name_that_does_not_resolve(doctor: Callable[..., Report], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://login.invalid")
    report = doctor()
    assert failed(report) == ["DNS"]
    assert "login.invalid does not resolve" in said(report)
    assert found(report, "token exchange") == "skipped: the authority host cannot be reached"


def test_a_port_that_refuses(doctor: Callable[..., Report], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://127.0.0.1:{port}")
    report = doctor()
    assert failed(report) == ["TCP"]
    assert f"127.0.0.1:{port} cannot be connected to: Connection refused" in said(report)


def test_a_certificate_that_is_not_trusted(
    doctor: Callable[..., Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Certificates(tmp_path / "other").ca_file
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    report = doctor()
    assert failed(report) == ["TLS"]
    assert f"certificate authorities of {other}" in said(report)
    assert "certificate verify failed" in said(report)
    assert "REQUESTS_CA_BUNDLE" in said(report)


def test_certificate_authorities_that_do_not_exist(
    doctor: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/does/not/exist.pem")
    report = doctor()
    assert failed(report) == ["TLS"]
    assert "REQUESTS_CA_BUNDLE is /does/not/exist.pem, which does not exist" in said(report)


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_is_what_is_connected_to(doctor: Callable[..., Report], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://login.invalid")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
    report = doctor()
    assert failed(report) == ["TCP"]
    assert "Check the proxy in HTTPS_PROXY" in said(report)
    assert "secret" not in report.as_text()


def test_a_clock_that_is_wrong(
    doctor: Callable[..., Report], workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload.projected_token.rotate()
    right = time.time
    monkeypatch.setattr("airflow_azure_wi.doctor.network_checks.time.time", lambda: right() - 600)
    report = doctor()
    assert "warning: 10 min behind the authority host's" in found(report, "clock")
    assert "NTP" in found(report, "clock")


def test_an_unknown_scope_fails_alone(doctor: Callable[..., Report]) -> None:
    report = doctor(scopes=["https://typo.example/.default"])
    assert failed(report) == ["scope"]
    assert "AADSTS500011" in said(report)
    assert report.signed_in is not None


@pytest.fixture
def resource_manager(azure: OfflineAzure) -> Iterator[None]:
    """A resource manager that shows one subscription to whoever has a token."""

    async def subscription(request: Request) -> Response:
        assert request.headers["authorization"].startswith("Bearer ey")
        if request.path_params["id"] == "11111111-1111-1111-1111-111111111111":
            return JSONResponse({"displayName": "Data", "state": "Enabled"})
        return JSONResponse({"error": {"code": "SubscriptionNotFound"}}, 404)

    app = Starlette(routes=[Route("/subscriptions/{id}", subscription)])
    with azure.serving(app, "management.azure.com"):
        yield


@pytest.mark.usefixtures("resource_manager")
def test_a_subscription_that_is_visible(doctor: Callable[..., Report]) -> None:
    report = doctor(subscription_id="11111111-1111-1111-1111-111111111111")
    assert found(report, "subscription") == "ok: Data (11111111-1111-1111-1111-111111111111) is Enabled"


@pytest.mark.usefixtures("resource_manager")
def test_a_subscription_that_is_not_visible(doctor: Callable[..., Report], identity: ManagedIdentity) -> None:
    report = doctor(subscription_id="22222222-2222-2222-2222-222222222222")
    assert failed(report) == ["subscription"]
    assert "SubscriptionNotFound" in said(report)
    assert f"az role assignment create --assignee {identity.client_id}" in said(report)


def test_a_subscription_is_a_guid(doctor: Callable[..., Report]) -> None:
    assert failed(doctor(subscription_id="../../x")) == ["subscription"]


ACCOUNT = "https://acct.blob.core.windows.net"


@pytest.fixture
def container(workload: OfflineAzure) -> str:
    """Make a container in Azurite."""
    name = f"c{uuid4().hex}"
    identity = workload.identity
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    BlobServiceClient(ACCOUNT, credential=credential).create_container(name)
    return name


def test_an_account_or_a_container_is_read(doctor: Callable[..., Report], container: str) -> None:
    report = doctor(scopes=[ACCOUNT, "https://acct.dfs.core.windows.net/", f"{ACCOUNT}/{container}"])
    assert [result.found for result in report.results if result.name == "reading"] == [
        *["the containers of acct can be listed"] * 2,
        f"the container {container} of acct can be listed",
    ]
    assert report.as_text().endswith("\nSign-in works, and so does reading. Writing is not checked.\n")


def test_a_container_that_does_not_exist(doctor: Callable[..., Report], workload: OfflineAzure) -> None:
    report = doctor(scopes=[f"{ACCOUNT}/absent"])
    assert failed(report) == ["reading"]
    assert "listing the container absent of acct is refused (HTTP 404, ContainerNotFound)" in said(report)


@pytest.mark.parametrize("path", ["", "/data"])
def test_without_a_role_the_command_that_assigns_one_is_shown(
    doctor: Callable[..., Report], workload: OfflineAzure, identity: ManagedIdentity, path: str
) -> None:
    with workload.serving(without_a_role(), *workload.storage_hosts):
        report = doctor(scopes=[f"{ACCOUNT}{path}"])
    assert failed(report) == ["reading"]
    assert "is refused (HTTP 403, AuthorizationPermissionMismatch)" in found(report, "reading")
    assert ("for a container alone" in found(report, "reading")) == (not path)
    command = command_of(report)
    within = "/blobServices/default/containers/data" if path else ""
    assert command == (
        "ID=$(az storage account show --query id --output tsv --name acct | tr -d '\\r')\n"
        "[ -n \"$ID\" ] && az role assignment create --role 'Storage Blob Data Contributor' --assignee-object-id "
        f'{identity.principal_id} --assignee-principal-type ServicePrincipal --scope "$ID{within}"'
    )
    assert "This assigns the role." in report.as_text()


def test_an_account_that_cannot_be_reached(doctor: Callable[..., Report], workload: OfflineAzure) -> None:
    with workload.serving(
        PlainTextResponse("moved", 307, {"Location": "https://elsewhere.example"}), "acct.blob.core.windows.net"
    ):
        assert "(HTTP 307, no code)" in found(doctor(scopes=[ACCOUNT]), "reading")


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        ([], "add --scope https://ACCOUNT.blob.core.windows.net."),
        (["https://storage.azure.com/.default"], "This assigns one for Azure Storage (ACCOUNT stands for its name):"),
        (["https://vault.azure.net/.default"], "This assigns one for Azure Key Vault (VAULT stands for its name):"),
        (["https://acct.queue.core.windows.net"], "This assigns one for Azure Storage:"),
    ],
)
def test_success_says_what_was_not_checked(
    doctor: Callable[..., Report], identity: ManagedIdentity, scopes: list[str], said: str
) -> None:
    report = doctor(scopes=scopes)
    assert report.is_ok, report.as_text()
    rendered = " ".join(report.as_text().split())
    assert "Sign-in works. Roles are not checked; without one, reading is refused with 403." in rendered
    assert said in rendered
    assert "application roles" not in rendered
    if scopes:
        assert f"--assignee-object-id {identity.principal_id}" in report.as_text().splitlines()[-1]
    assert report.as_json()["remark"]["text"].startswith("Sign-in works.")


@pytest.mark.parametrize(
    "url",
    [
        "https://acct.blob.core.windows.net.evil.example",
        "https://evil.example/acct.blob.core.windows.net",
        "https://acct.blob.core.windows.net:8443",
        "https://me@acct.blob.core.windows.net",
        "https://acct.blob.core.windows.net/a/../b",
        "https://acct.blob.core.usgovcloudapi.net",
        "http://acct.blob.core.windows.net",
    ],
)
def test_a_token_is_sent_to_storage_alone(doctor: Callable[..., Report], url: str) -> None:
    report = doctor(scopes=[url])
    assert failed(report) == ["scope"]
    assert "reading" not in [result.name for result in report.results]
