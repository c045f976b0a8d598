"""What the simulated Entra issues."""

import email.utils
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from airflow_azure_wi.federation import problem_of_issuer
from airflow_azure_wi.testing import Certificates, Cluster, ManagedIdentity, OfflineAzure, SimulatedEntra
from tests.testing.token_requests import STORAGE_SCOPE, SUBJECT, RequestToken


def claims_of(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    claims: dict[str, Any] = jwt.decode(response.json()["access_token"], options={"verify_signature": False})
    return claims


def test_access_token_has_the_claims_of_the_identity(request_token: RequestToken, identity: ManagedIdentity) -> None:
    claims = claims_of(request_token())

    assert claims.pop("uti")
    issued_at = claims.pop("iat")
    assert abs(issued_at - time.time()) < 5
    assert claims == {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{identity.tenant_id}/",
        "nbf": issued_at,
        "exp": issued_at + 3600,
        "appid": identity.client_id,
        "oid": identity.principal_id,
        "sub": identity.principal_id,
        "tid": identity.tenant_id,
        "ver": "1.0",
    }


def test_response_is_a_bearer_token_response(request_token: RequestToken) -> None:
    response = request_token()

    assert set(response.json()) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert response.json()["token_type"] == "Bearer"
    assert response.json()["expires_in"] == response.json()["ext_expires_in"] == 3600
    assert response.headers["Cache-Control"] == "no-store, no-cache"
    date = email.utils.parsedate_to_datetime(response.headers["Date"])
    assert abs(date.timestamp() - time.time()) < 5


def test_scopes_of_openid_connect_are_no_resource(azure: OfflineAzure, request_token: RequestToken) -> None:
    claims = claims_of(request_token(scope=f"{STORAGE_SCOPE} openid offline_access profile"))
    assert claims["aud"] == "https://storage.azure.com"
    assert [exchange.scope for exchange in azure.entra.exchanges] == [STORAGE_SCOPE]


def test_access_token_is_signed_with_the_published_key(azure: OfflineAzure, request_token: RequestToken) -> None:
    ca_file = azure.environment()["REQUESTS_CA_BUNDLE"]
    discovery = f"{azure.entra.authority_host}/{azure.identity.tenant_id}/v2.0/.well-known/openid-configuration"
    document = requests.get(discovery, verify=ca_file, timeout=10).json()
    (key,) = jwt.PyJWKSet.from_dict(requests.get(document["jwks_uri"], verify=ca_file, timeout=10).json()).keys
    token = request_token().json()["access_token"]

    jwt.decode(token, key.key, algorithms=["RS256"], audience="https://storage.azure.com")
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "RS256", "kid": key.key_id}
    assert document["token_endpoint"] == f"{azure.entra.authority_host}/{azure.identity.tenant_id}/oauth2/v2.0/token"


@pytest.mark.parametrize(
    "resource",
    [
        "https://management.azure.com",
        "https://management.azure.com/",
        "https://management.usgovcloudapi.net",
        "https://vault.azure.net",
        "https://ossrdbms-aad.database.windows.net",
        "https://servicebus.azure.net",
        "https://graph.microsoft.com",
        "https://cosmos.azure.com",
        "https://datalake.azure.net",
        "https://database.windows.net",
        "https://mycluster.westeurope.kusto.windows.net",
        "https://analysis.windows.net/powerbi/api",
        "https://cognitiveservices.azure.com",
        "https://account.blob.core.windows.net",
        "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
    ],
)
def test_audience_is_the_resource_of_the_scope(request_token: RequestToken, resource: str) -> None:
    assert claims_of(request_token(scope=f"{resource}/.default"))["aud"] == resource


def test_registered_resource_is_known(azure: OfflineAzure, request_token: RequestToken) -> None:
    scope = "api://snowflake-5f1c/.default"
    assert request_token(scope=scope).status_code == 400

    azure.entra.register_resource("api://snowflake-5f1c")

    assert claims_of(request_token(scope=scope))["aud"] == "api://snowflake-5f1c"


def test_tenant_is_also_addressed_by_its_domain(request_token: RequestToken, identity: ManagedIdentity) -> None:
    identity.tenant_domain = "contoso.onmicrosoft.com"

    claims = claims_of(request_token(tenant="Contoso.onmicrosoft.com"))

    assert claims["tid"] == identity.tenant_id


def test_identity_may_be_disabled_and_enabled(request_token: RequestToken, identity: ManagedIdentity) -> None:
    identity.disabled = True
    assert request_token().status_code == 400
    identity.disabled = False
    assert request_token().status_code == 200


def test_two_exchanges_give_two_access_tokens(request_token: RequestToken) -> None:
    assert claims_of(request_token())["uti"] != claims_of(request_token())["uti"]


@pytest.mark.parametrize(("lifetime", "refresh_in"), [(90.4, None), (86399.0, 43199)])
def test_lifetime_of_access_tokens(tmp_path: Path, lifetime: float, refresh_in: int | None) -> None:
    with OfflineAzure(tmp_path / "azure", with_storage=False, access_token_lifetime=lifetime) as azure:
        url = f"{azure.entra.authority_host}/{azure.identity.tenant_id}/oauth2/v2.0/token"
        form = {
            "grant_type": "client_credentials",
            "client_id": azure.identity.client_id,
            "scope": STORAGE_SCOPE,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": azure.projected_token.path.read_text(),
        }
        trusted = azure.environment()["REQUESTS_CA_BUNDLE"]
        response = requests.post(url, form, verify=trusted, timeout=10)
        azure.identity.access_token_lifetime = 5
        own = requests.post(url, form, verify=trusted, timeout=10)

    assert own.json()["expires_in"] == claims_of(own)["exp"] - claims_of(own)["iat"] == 5
    claims = claims_of(response)
    assert response.json()["expires_in"] == claims["exp"] - claims["iat"] == round(lifetime)
    assert response.json().get("refresh_in") == refresh_in


def test_exchanges_are_recorded(azure: OfflineAzure, request_token: RequestToken, identity: ManagedIdentity) -> None:
    token = azure.projected_token.path.read_text()

    request_token()
    request_token(scope="https://nowhere.example/.default")

    issued, refused = azure.entra.exchanges
    assert abs(issued.at - time.time()) < 10
    assert issued.tenant_id == identity.tenant_id
    assert issued.client_id == identity.client_id
    assert issued.scope == STORAGE_SCOPE
    assert issued.subject == SUBJECT
    assert issued.assertion_id == jwt.decode(token, options={"verify_signature": False})["jti"]
    assert issued.user_agent.startswith("python-requests/")
    assert issued.error_code is None
    assert (refused.scope, refused.error_code) == ("https://nowhere.example/.default", "AADSTS500011")


def test_exchange_with_an_unreadable_assertion_is_recorded(azure: OfflineAzure, request_token: RequestToken) -> None:
    request_token(client_assertion="not a token")

    (exchange,) = azure.entra.exchanges
    assert (exchange.subject, exchange.assertion_id, exchange.error_code) == ("", "", "AADSTS50027")


def test_exchanges_are_a_copy_and_can_be_cleared(azure: OfflineAzure, request_token: RequestToken) -> None:
    request_token()
    before = azure.entra.exchanges
    azure.entra.clear()

    assert len(before) == 1
    assert azure.entra.exchanges == []


def test_many_exchanges_at_once(azure: OfflineAzure, request_token: RequestToken) -> None:
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: request_token(timeout=30), range(60)))

    assert {response.status_code for response in responses} == {200}
    assert len(azure.entra.exchanges) == 60


def test_no_token_is_logged(
    azure: OfflineAzure,
    request_token: RequestToken,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    federated_token = azure.projected_token.path.read_text()
    tampered = federated_token[:-8] + "AAAAAAAA"

    access_token = request_token().json()["access_token"]
    assert request_token(client_assertion=tampered).status_code == 401

    out, err = capfd.readouterr()
    said = caplog.text + out + err + repr(azure.entra.exchanges) + repr(azure.entra)
    for token in (federated_token, access_token, tampered):
        assert token not in said
        assert token.rsplit(".", 1)[1] not in said


def test_entra_and_cluster_work_on_their_own(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    with Cluster(certificates) as cluster, SimulatedEntra(certificates) as entra:
        assert problem_of_issuer(cluster.issuer) is None
        assert entra.authority_host.startswith("https://127.0.0.1:")
        assert entra.authority_host != cluster.issuer
