"""Exchanges with the simulated Entra that succeed, that are refused, and that meet with every kind of trouble."""

import os
import time
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi.auth import credential_for
from airflow_azure_wi.auth import exchange as _exchange
from airflow_azure_wi.auth.credential import SharedCredential
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.entra_errors import EXPLANATIONS
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError
from airflow_azure_wi.federated_token import unverified_claims
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import CloseConnection, Hang, ManagedIdentity, OfflineAzure, Refuse, Status
from tests.integration.conftest import USER

STORAGE = "https://storage.azure.com/.default"
SUBJECT = "system:serviceaccount:airflow:airflow-worker"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_exchange, "READ_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(_exchange, "FIRST_PAUSE_SECONDS", 0.05)


def refusal_of(credential: SharedCredential, scope: str = STORAGE) -> str:
    with pytest.raises(TokenExchangeError) as caught:
        credential.get_token(scope)
    assert USER in str(caught.value)
    return str(caught.value)


def outcomes(azure: OfflineAzure) -> list[str | None]:
    return [exchange.error_code for exchange in azure.entra.exchanges]


def test_the_access_token_is_the_identitys(credential: SharedCredential, identity: ManagedIdentity) -> None:
    claims = unverified_claims(credential.get_token(STORAGE).token)
    assert claims is not None
    assert (claims["appid"], claims["tid"]) == (identity.client_id, identity.tenant_id)
    assert claims["aud"] == "https://storage.azure.com"


def test_a_workload_that_is_not_linked_learns_what_entra_compared(
    credential: SharedCredential, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    [linked] = identity.federated_credentials
    identity.remove_credential(linked.name)
    identity.add_credential(type(linked)("other", linked.issuer, "system:serviceaccount:airflow:airflow-scheduler"))
    message = refusal_of(credential)
    assert "AADSTS700213" in message
    assert f"issuer {linked.issuer!r}, subject {SUBJECT!r}, audience 'api://AzureADTokenExchange'" in message
    assert str(azure.projected_token.path) in message
    assert "az identity federated-credential" in message
    assert "Trace ID: " in message
    assert "Correlation ID: " in message
    assert azure.projected_token.path.read_text() not in message


def test_a_storage_client_does_not_retry_a_refusal(
    credential: SharedCredential, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    """With azure-identity by hand, its retry policy keeps the task waiting for more than a minute."""
    identity.remove_credential("worker")
    begun = time.monotonic()
    with pytest.raises(TokenExchangeError, match="AADSTS70025"):
        list(BlobServiceClient(azure.azurite.blob_url, credential=credential).list_containers())
    assert time.monotonic() - begun < 5
    assert len(azure.entra.exchanges) == 1


@pytest.mark.parametrize("code", sorted(EXPLANATIONS))
def test_each_code_of_entra_is_explained(credential: SharedCredential, azure: OfflineAzure, code: str) -> None:
    azure.entra.fail_next(*[Refuse(code)] * 3)
    with pytest.raises(TokenExchangeError) as caught:
        credential.get_token(STORAGE)
    assert caught.value.code == code
    assert EXPLANATIONS[code].cause in str(caught.value)
    assert EXPLANATIONS[code].next_step in str(caught.value)


def test_a_code_that_is_not_explained_here_is_looked_up(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(Status(400, b'{"error": "invalid_request", "error_description": "AADSTS90004: Invalid."}'))
    assert "https://login.microsoftonline.com/error?code=90004" in refusal_of(credential)


def test_a_wrong_scope_is_told_from_a_wrong_identity(credential: SharedCredential) -> None:
    assert "AADSTS500011" in refusal_of(credential, "https://storage.azure.co/.default")


def test_throttling_is_waited_out(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(Status(429, headers={"Retry-After": "1"}))
    begun = time.monotonic()
    assert credential.get_token(STORAGE).token
    assert time.monotonic() - begun >= 1
    assert outcomes(azure) == ["HTTP 429", None]


def test_throttling_for_long_is_an_error_now(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(Status(429, headers={"Retry-After": "3600"}))
    begun = time.monotonic()
    message = refusal_of(credential)
    assert time.monotonic() - begun < 5
    assert "HTTP 429" in message
    assert "3600 s" in message


def test_a_failure_of_entra_is_tried_again(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(Status(500, b"<html>oops"), Status(503))
    assert credential.get_token(STORAGE).token
    assert outcomes(azure) == ["HTTP 500", "HTTP 503", None]


@pytest.mark.parametrize("media_type", ["text/html", "text/plain; charset=utf-8", "application/xml"])
def test_a_page_of_a_gateway_is_told_by_its_status(
    credential: SharedCredential, azure: OfflineAzure, media_type: str
) -> None:
    page = {"Content-Type": media_type}
    azure.entra.fail_next(
        Status(429, b"<html>slow down", page | {"Retry-After": "0"}), Status(503, b"<html>oops", page)
    )
    assert credential.get_token(STORAGE).token
    assert outcomes(azure) == ["HTTP 429", "HTTP 503", None]
    azure.entra.fail_next(*[Status(502, b"<html>oops", page)] * 3)
    message = refusal_of(credential, "https://vault.azure.net/.default")
    assert "Microsoft Entra ID has a failure of its own (HTTP 502)." in message
    assert "Answer: HTTP 502 Bad Gateway: '<html>oops'" in message
    assert "let the task be retried later" in message


def test_a_failure_of_entra_that_stays_is_an_error(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(*[Status(500, b"<html>oops")] * 3)
    assert "HTTP 500" in refusal_of(credential)
    assert len(outcomes(azure)) == 3


def test_a_closed_connection_is_tried_again(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(CloseConnection())
    assert credential.get_token(STORAGE).token


def test_an_entra_that_hangs_is_an_error_in_time(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(*[Hang(20)] * 3)
    begun = time.monotonic()
    message = refusal_of(credential)
    assert time.monotonic() - begun < 10
    assert azure.entra.authority_host in message
    assert "REQUESTS_CA_BUNDLE" in message


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b"[1, 2]",
        b'"text"',
        b"{}",
        b'{"access_token": "secret-part"}',
        b'{"access_token": "secret-part',
        b"\xff",
    ],
)
def test_an_answer_that_is_no_token_response(credential: SharedCredential, azure: OfflineAzure, junk: bytes) -> None:
    azure.entra.fail_next(Status(200, junk, headers={"Content-Type": "application/json"}))
    message = refusal_of(credential)
    assert "no token response" in message
    assert "AZURE_AUTHORITY_HOST" in message
    assert "secret-part" not in message


def test_an_authority_that_is_not_there(workload: OfflineAzure, who: WorkloadIdentity) -> None:
    nowhere = Deployment.of({**os.environ, "AZURE_AUTHORITY_HOST": "https://127.0.0.1:1"})
    assert "https://127.0.0.1:1 could not be reached" in refusal_of(credential_for(who, nowhere, used_by=USER))


def test_an_authority_with_a_certificate_that_is_not_trusted(
    workload: OfflineAzure, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE")
    message = refusal_of(credential_for(who, Deployment.of(os.environ), used_by=USER))
    assert "certificate verify failed" in message.lower().replace("_", " ")
    assert workload.entra.exchanges == [], "the federated token was not sent"


@pytest.mark.parametrize(
    ("content", "found"), [(None, "does not exist"), ("", "an empty file"), ("x.y", "something else")]
)
def test_without_a_federated_token_nothing_is_sent(
    workload: OfflineAzure, who: WorkloadIdentity, tmp_path: Path, content: str | None, found: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    deployment = Deployment.of({**os.environ, "AZURE_FEDERATED_TOKEN_FILE": str(file)})
    with pytest.raises(FederatedTokenError, match=found) as caught:
        credential_for(who, deployment, used_by=USER).get_token(STORAGE)
    assert USER in str(caught.value)
    assert workload.entra.exchanges == []


def test_a_rotated_token_is_presented_at_the_next_exchange(credential: SharedCredential, azure: OfflineAzure) -> None:
    credential.get_token(STORAGE)
    azure.projected_token.rotate()
    credential.get_token("https://vault.azure.net/.default")
    first, second = azure.entra.exchanges
    assert first.assertion_id != second.assertion_id


def test_a_rotation_between_two_attempts_is_noticed(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(Refuse("AADSTS700024"))
    credential.get_token(STORAGE)
    assert outcomes(azure) == ["AADSTS700024", None]


def test_an_assertion_outside_its_time_range_is_tried_once_more_and_no_more(
    credential: SharedCredential, azure: OfflineAzure
) -> None:
    azure.entra.fail_next(*[Refuse("AADSTS700024")] * 3)
    assert "AADSTS700024" in refusal_of(credential)
    assert outcomes(azure) == ["AADSTS700024"] * 2
