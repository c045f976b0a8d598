"""AKS identity bindings, with a stand-in for the proxy of the cluster that forwards to the simulated Entra.

The real proxy is reached by its address and shows a certificate for the name that AZURE_KUBERNETES_SNI_NAME gives,
signed by the cluster's own authority. Here the simulated Entra does not support identity bindings: that the federated
identity credential is the cluster's is not tested.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
import requests
import trustme
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_azure_wi.auth import async_credential_for, credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import DeploymentError, TokenExchangeError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import (
    Certificates,
    OfflineAzure,
)
from airflow_azure_wi.testing.certificates import ServerCertificate
from airflow_azure_wi.testing.server import HttpsServer
from tests.integration.conftest import USER

STORAGE = "https://storage.azure.com/.default"
VAULT = "https://vault.azure.net/.default"
SNI_NAME = "identity-binding.example.invalid"


def cluster_certificate(directory: Path, ca_file: Path) -> ServerCertificate:
    """A certificate for the proxy's name, from a new authority of the cluster's own."""
    certificates = Certificates(directory)
    shutil.copy(certificates.ca_file, ca_file)
    return certificates.issue("proxy", SNI_NAME)


@dataclass
class Proxy:
    """Forwards what comes in below a path, and remembers the paths."""

    azure: OfflineAzure
    directory: Path
    ca_file: Path
    paths: list[str] = field(default_factory=list)

    def running(self, directory: str) -> HttpsServer:
        app = Starlette(routes=[Route("/proxy/{path:path}", self._forward, methods=["POST"])])
        return HttpsServer(app, cluster_certificate(self.directory / directory, self.ca_file))

    async def _forward(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        url = f"{self.azure.entra.authority_host}/{request.path_params['path']}"
        body = await request.body()
        headers = {"Content-Type": request.headers["Content-Type"]}
        ca_file = self.azure.environment()["REQUESTS_CA_BUNDLE"]
        answer = await run_in_threadpool(requests.post, url, data=body, headers=headers, verify=ca_file, timeout=10)
        return Response(answer.content, answer.status_code, {"Content-Type": "application/json"})


def bound() -> Deployment:
    return Deployment.of(os.environ, {"identity_binding": "True"})


@pytest.fixture
def proxy(workload: OfflineAzure, tmp_path: Path) -> Proxy:
    return Proxy(workload, tmp_path, tmp_path / "proxy-ca.pem")


@pytest.fixture
def running(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsServer]:
    with proxy.running("first") as server:
        monkeypatch.setenv("AZURE_KUBERNETES_TOKEN_PROXY", f"{server.url}/proxy")
        monkeypatch.setenv("AZURE_KUBERNETES_SNI_NAME", SNI_NAME)
        monkeypatch.setenv("AZURE_KUBERNETES_CA_FILE", str(proxy.ca_file))
        yield server


def test_both_kinds_go_through_the_proxy(running: HttpsServer, proxy: Proxy, who: WorkloadIdentity) -> None:
    credential_for(who, bound(), used_by=USER).get_token(STORAGE)
    asyncio.run(async_credential_for(who, bound(), used_by=USER).get_token(VAULT))
    assert proxy.paths == [f"/proxy/{who.tenant_id}/oauth2/v2.0/token"] * 2
    assert [exchange.error_code for exchange in proxy.azure.entra.exchanges] == [None, None]


def test_a_new_authority_in_the_file_is_trusted_at_the_next_exchange(
    running: HttpsServer, proxy: Proxy, who: WorkloadIdentity
) -> None:
    credential = credential_for(who, bound(), used_by=USER)
    credential.get_token(STORAGE)
    running.show(cluster_certificate(proxy.directory / "second", proxy.ca_file))
    credential.get_token(VAULT)
    assert len(proxy.paths) == 2


def test_a_proxy_with_a_certificate_of_somebody_else_gets_no_token(
    running: HttpsServer, proxy: Proxy, who: WorkloadIdentity
) -> None:
    trustme.CA().cert_pem.write_to_path(proxy.ca_file)
    with pytest.raises(TokenExchangeError, match=r"(?i)certificate.verify.failed"):
        credential_for(who, bound(), used_by=USER).get_token(STORAGE)
    assert proxy.paths == []


def test_off_by_default(running: HttpsServer, proxy: Proxy, who: WorkloadIdentity) -> None:
    credential_for(who, Deployment.of(os.environ), used_by=USER).get_token(STORAGE)
    assert proxy.paths == []


def test_without_a_proxy_entra_itself_is_asked_and_a_warning_says_so(
    workload: OfflineAzure, who: WorkloadIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    credential_for(who, bound(), used_by=USER).get_token(STORAGE)
    assert "AZURE_KUBERNETES_TOKEN_PROXY is not set" in caplog.text
    assert len(workload.entra.exchanges) == 1


def test_an_azure_identity_that_knows_none_is_named(
    running: HttpsServer, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older release is made up: one environment holds one release. That 1.26 has none was looked up in it."""
    monkeypatch.setattr(metadata, "version", lambda _: "1.26.0")
    with pytest.raises(DeploymentError, match=r"azure-identity 1\.26\.0 does not support identity bindings.*>=1\.27"):
        credential_for(who, bound(), used_by=USER).get_token(STORAGE)


def test_an_environment_that_contradicts_itself_is_one_error(
    running: HttpsServer, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KUBERNETES_TOKEN_PROXY", "http://proxy")
    monkeypatch.setenv("AZURE_KUBERNETES_CA_DATA", "PEM")
    monkeypatch.setenv("AZURE_KUBERNETES_CA_FILE", "/absent")
    with pytest.raises(DeploymentError) as caught:
        credential_for(who, bound(), used_by=USER).get_token(STORAGE)
    for problem in ("'http://proxy', expected an https URL", "are both set", "'/absent', where there is no file"):
        assert problem in str(caught.value)


def test_a_token_in_place_of_the_proxy_is_not_repeated(
    running: HttpsServer, proxy: Proxy, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = proxy.azure.projected_token.path.read_text()
    monkeypatch.setenv("AZURE_KUBERNETES_TOKEN_PROXY", f"Bearer {token}")
    monkeypatch.setenv("AZURE_KUBERNETES_CA_FILE", f'"{token}"')
    with pytest.raises(
        DeploymentError, match="AZURE_KUBERNETES_TOKEN_PROXY is something that looks like a token"
    ) as it:
        credential_for(who, bound(), used_by=USER).get_token(STORAGE)
    assert token not in str(it.value)


def test_what_could_not_be_sent_is_no_answer_of_entra(
    running: HttpsServer, proxy: Proxy, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.ca_file.write_text("not a certificate")
    with pytest.raises(TokenExchangeError) as caught:
        credential_for(who, bound(), used_by=USER).get_token(STORAGE)
    assert "azure-identity could not send the token request" in caught.value.cause
    assert "AZURE_KUBERNETES_" in caught.value.next_step
    assert "Entra" not in caught.value.cause
    assert proxy.paths == []
