"""The simulated cluster: what it signs and what it publishes."""

import time
from functools import partial

import jwt
import pytest
import requests

from airflow_azure_wi.testing import OfflineAzure
from tests.testing.token_requests import SUBJECT


def test_token_has_the_shape_of_a_service_account_token(azure: OfflineAzure) -> None:
    token = azure.cluster.service_account_token("airflow", "airflow-worker", lifetime=600)
    claims = jwt.decode(token, options={"verify_signature": False})

    header = jwt.get_unverified_header(token)
    assert set(header) == {"alg", "kid"}
    assert header["alg"] == "RS256"
    assert set(claims) == {"aud", "exp", "iat", "iss", "jti", "kubernetes.io", "nbf", "sub"}
    assert claims["aud"] == ["api://AzureADTokenExchange"]
    assert claims["iss"] == azure.cluster.issuer
    assert claims["sub"] == SUBJECT
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["nbf"] == claims["iat"]
    assert 600 <= claims["exp"] - claims["iat"] <= 601
    assert claims["kubernetes.io"]["namespace"] == "airflow"
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "airflow-worker"


def test_tokens_differ_but_their_service_account_does_not(azure: OfflineAzure) -> None:
    one, other = (
        jwt.decode(azure.cluster.service_account_token("n", "a"), options={"verify_signature": False}) for _ in range(2)
    )
    assert one["jti"] != other["jti"]
    assert one["kubernetes.io"] == other["kubernetes.io"]


def test_claims_can_be_replaced_and_left_out(azure: OfflineAzure) -> None:
    token = azure.cluster.service_account_token("n", "a", audience=["x", "y"], sub="someone", jti=None)
    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["aud"] == ["x", "y"]
    assert claims["sub"] == "someone"
    assert "jti" not in claims


def test_expired_token_was_valid_before(azure: OfflineAzure) -> None:
    token = azure.cluster.service_account_token("n", "a", lifetime=-60)
    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["nbf"] <= claims["exp"] < time.time() - 50


def test_published_keys_verify_what_the_cluster_signs(azure: OfflineAzure) -> None:
    ca_file = azure.environment()["REQUESTS_CA_BUNDLE"]
    discovery = f"{azure.cluster.issuer}/.well-known/openid-configuration"
    fetch = partial(requests.get, verify=ca_file, timeout=10, proxies={"https": azure.environment()["HTTPS_PROXY"]})
    document = fetch(discovery).json()
    assert document["issuer"] == azure.cluster.issuer
    assert document["jwks_uri"] == f"{azure.cluster.issuer}/openid/v1/jwks"

    (key,) = fetch(document["jwks_uri"]).json()["keys"]

    assert set(key) >= {"kty", "n", "e", "kid", "use", "alg"}
    assert not set(key) & {"d", "p", "q", "dp", "dq", "qi"}, "the private key is published"
    jwt.decode(
        azure.projected_token.path.read_text(),
        jwt.PyJWK(key).key,
        algorithms=["RS256"],
        audience="api://AzureADTokenExchange",
        issuer=azure.cluster.issuer,
    )


def test_only_the_private_authority_vouches_for_it(azure: OfflineAzure) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"https://127.0.0.1:{azure.cluster.port}", verify=requests.certs.where(), timeout=10)
