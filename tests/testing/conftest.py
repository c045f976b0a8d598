"""Token requests, made by hand."""

from typing import Any

import pytest
import requests

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.testing.token_requests import ASSERTION_TYPE, STORAGE_SCOPE, RequestToken


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
