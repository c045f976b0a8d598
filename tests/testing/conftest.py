"""One offline Azure for all of these tests."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from token_requests import ASSERTION_TYPE, STORAGE_SCOPE, SUBJECT, RequestToken

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure


@pytest.fixture(scope="session")
def running_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineAzure]:
    with OfflineAzure(tmp_path_factory.mktemp("offline-azure")) as azure:
        yield azure


@pytest.fixture
def azure(running_azure: OfflineAzure) -> OfflineAzure:
    running_azure.entra.clear()
    return running_azure


@pytest.fixture
def identity(azure: OfflineAzure) -> ManagedIdentity:
    """A managed identity of this test alone, which trusts the default workload."""
    identity = ManagedIdentity()
    identity.add_credential(FederatedIdentityCredential("worker", azure.cluster.issuer, SUBJECT))
    azure.entra.register(identity)
    return identity


@pytest.fixture
def request_token(azure: OfflineAzure, identity: ManagedIdentity) -> RequestToken:
    """Post a token request that is in order but for what the test changes; None leaves a parameter out."""

    def post(*, tenant: str | None = None, timeout: float = 10.0, **changes: str | None) -> requests.Response:
        form: dict[str, Any] = {
            "grant_type": "client_credentials",
            "client_id": identity.client_id,
            "scope": STORAGE_SCOPE,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": azure.projected_token.path.read_text(),
            **changes,
        }
        url = f"{azure.entra.authority_host}/{tenant or identity.tenant_id}/oauth2/v2.0/token"
        ca_file = azure.environment()["REQUESTS_CA_BUNDLE"]
        return requests.post(url, data=form, verify=ca_file, timeout=timeout)

    return post


@pytest.fixture
def workload(azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> OfflineAzure:
    """This process as the workload: with its environment."""
    for name, value in azure.environment().items():
        monkeypatch.setenv(name, value)
    return azure
