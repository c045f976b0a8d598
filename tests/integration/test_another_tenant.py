"""docs/how-to/another-tenant.md over two tenants of the simulated Entra: from ``link --application`` to signing in."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from airflow_azure_wi import AzureWorkloadIdentityHook, cli
from airflow_azure_wi.errors import TokenExchangeError
from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from airflow_azure_wi.testing.identities import Application
from tests.fake_az import FakeAz

SCOPE = "https://storage.azure.com/.default"
OTHER_TENANT = str(uuid4())

Connect = Callable[[str], AzureWorkloadIdentityHook]


@pytest.fixture
def application(identity: ManagedIdentity) -> Application:
    """An application that is registered in the tenant of the managed identity, as it is known in another."""
    return Application(tenant_id=OTHER_TENANT, home_tenant_id=identity.tenant_id)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Connect:
    """Make the connection from what ``link`` prints, as the documentation says."""

    def connect(printed: str) -> AzureWorkloadIdentityHook:
        command = [sys.executable, "-m", "airflow_azure_wi", "connection", "-", "--format", "json"]
        made = subprocess.run(command, input=printed, capture_output=True, text=True, check=True, timeout=60)
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_TENANT", made.stdout)
        return AzureWorkloadIdentityHook("other_tenant")

    return connect


@pytest.fixture
def printed(application: Application, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, FakeAz]:
    """What the commands of ``link`` print, run with a stand-in for az; and that stand-in."""
    # Inside of the workload, its own token says what to link.
    code = cli.main(["link", "--application", application.client_id, "--tenant", OTHER_TENANT])
    script = capsys.readouterr().out
    az = FakeAz(tmp_path / "bin", {})
    done = subprocess.run(
        ["sh"], input=script, env=az.environment(), capture_output=True, text=True, check=True, timeout=60
    )
    assert code == 0
    return done.stdout, az


def trust_what_was_linked(application: Application, az: FakeAz) -> None:
    for each in az.credentials:
        application.add_credential(
            FederatedIdentityCredential(each["name"], each["issuer"], each["subject"], tuple(each["audiences"]))
        )


def test_the_workload_signs_in_to_the_other_tenant(
    workload: OfflineAzure, application: Application, printed: tuple[str, FakeAz], connect: Connect
) -> None:
    trust_what_was_linked(application, printed[1])
    workload.entra.register(application)
    claims = jwt.decode(connect(printed[0]).get_token(SCOPE).token, options={"verify_signature": False})
    assert (claims["appid"], claims["tid"]) == (application.client_id, OTHER_TENANT)


def test_without_the_service_principal_in_the_other_tenant(
    workload: OfflineAzure, printed: tuple[str, FakeAz], connect: Connect
) -> None:
    with pytest.raises(TokenExchangeError, match=r"AADSTS(700016|90002)"):
        connect(printed[0]).get_token(SCOPE)


def test_without_a_credential_on_the_application(
    workload: OfflineAzure, application: Application, printed: tuple[str, FakeAz], connect: Connect
) -> None:
    workload.entra.register(application)
    with pytest.raises(TokenExchangeError, match="AADSTS70025"):
        connect(printed[0]).get_token(SCOPE)


def test_the_managed_identitys_own_client_id_is_unknown_there(
    workload: OfflineAzure,
    application: Application,
    identity: ManagedIdentity,
    connect: Connect,
) -> None:
    workload.entra.register(application)
    with pytest.raises(TokenExchangeError, match="AADSTS700016"):
        connect(json.dumps({"clientId": identity.client_id, "tenantId": OTHER_TENANT})).get_token(SCOPE)
