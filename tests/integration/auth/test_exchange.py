"""Exchanges with the simulated Entra that succeed, that are refused, and that meet with every kind of trouble."""

import asyncio
import json
import logging
import os
import pickle
import re
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.keyvault.secrets import SecretClient
from azure.storage.blob import BlobServiceClient
from requests import utils
from requests.adapters import HTTPAdapter
from starlette.responses import StreamingResponse

from airflow_azure_wi.auth import Limits, credential_for
from airflow_azure_wi.auth.credential import SharedCredential
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.entra_errors import EXPLANATIONS
from airflow_azure_wi.errors import FederatedTokenError, TenantError, TokenExchangeError, WorkloadIdentityError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import CloseConnection, Delay, Hang, ManagedIdentity, OfflineAzure, Refuse, Status
from airflow_azure_wi.tokens import unverified_claims
from tests.integration.conftest import USER
from tests.recorder import Answer, Recorder

STORAGE = "https://storage.azure.com/.default"
JSON = {"Content-Type": "application/json"}
SUBJECT = "system:serviceaccount:airflow:airflow-worker"
QUICK = Limits(read_seconds=1, first_pause_seconds=0.05)


@pytest.fixture
def credential(deployment: Deployment, who: WorkloadIdentity) -> SharedCredential:
    return credential_for(who, deployment, used_by=USER, limits=QUICK)


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


@pytest.mark.parametrize(
    ("code", "refusals"),
    [("AADSTS700213", 1), ("AADSTS50166", 2), ("AADSTS501661", 2), ("AADSTS90061", 2), ("AADSTS90033", 2)],
)
def test_what_may_pass_is_tried_again(
    credential: SharedCredential, azure: OfflineAzure, code: str, refusals: int
) -> None:
    """kedacore/keda#8152 for 700213: about 2 % of exchanges with a correct credential; Azure/AKS#4029 for 50166."""
    azure.entra.fail_next(*[Refuse(code)] * refusals)
    assert credential.get_token(STORAGE).token
    assert outcomes(azure) == [*[code] * refusals, None]


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


@pytest.mark.parametrize("odd", ["nan", "-1", "-inf", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
def test_what_is_no_time_to_wait_is_not_waited_for(credential: SharedCredential, azure: OfflineAzure, odd: str) -> None:
    azure.entra.fail_next(Status(429, headers={"Retry-After": odd}))
    assert credential.get_token(STORAGE).token
    assert outcomes(azure) == ["HTTP 429", None]


def test_throttling_without_an_end_is_an_error_now(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(Status(429, headers={"Retry-After": "inf"}))
    assert "HTTP 429" in refusal_of(credential)


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
    assert "Microsoft Entra ID returned a server error (HTTP 502)." in message
    assert "Answer: HTTP 502 Bad Gateway: <html>oops" in message
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
def test_an_invalid_token_response(credential: SharedCredential, azure: OfflineAzure, junk: bytes) -> None:
    azure.entra.fail_next(Status(200, junk, headers={"Content-Type": "application/json"}))
    message = refusal_of(credential)
    assert "returned an invalid token response" in message
    assert "AZURE_AUTHORITY_HOST" in message
    assert "secret-part" not in message


def test_an_authority_that_is_not_there(workload: OfflineAzure, who: WorkloadIdentity) -> None:
    nowhere = Deployment.of({**os.environ, "AZURE_AUTHORITY_HOST": "https://127.0.0.1:1"})
    message = refusal_of(credential_for(who, nowhere, used_by=USER, limits=QUICK))
    assert "https://127.0.0.1:1 could not be reached" in message


@pytest.mark.parametrize("character", ["/", "?", "#"])
def test_a_proxy_whose_password_is_not_encoded(
    workload: OfflineAzure, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, f"http://me:hunter{character}two@proxy.example.com:8080")
    elsewhere = Deployment.of({**os.environ, "AZURE_AUTHORITY_HOST": "https://login.example.com"})
    message = refusal_of(credential_for(who, elsewhere, used_by=USER, limits=QUICK))
    assert "HTTPS_PROXY cannot be parsed" in message
    assert "hunter" not in message
    assert "two" not in message


def test_an_authority_with_a_certificate_that_is_not_trusted(
    workload: OfflineAzure, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE")
    message = refusal_of(credential_for(who, Deployment.of(os.environ), used_by=USER, limits=QUICK))
    assert "certificate verify failed" in message.lower().replace("_", " ")
    assert workload.entra.exchanges == [], "the federated token was not sent"


def test_the_certificate_authorities_of_requests_are_trusted_whichever_release_it_is(
    workload: OfflineAzure, who: WorkloadIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_now = HTTPAdapter.cert_verify

    def as_in_2_32_4(adapter: HTTPAdapter, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """Name no file, where a context of requests' own has loaded it."""
        as_now(adapter, conn, url, verify, cert)
        if verify is True:
            conn.ca_certs = None

    monkeypatch.setattr(utils, "DEFAULT_CA_BUNDLE_PATH", os.environ["REQUESTS_CA_BUNDLE"])
    monkeypatch.setattr(HTTPAdapter, "cert_verify", as_in_2_32_4)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE")
    assert credential_for(who, Deployment.of(os.environ), used_by=USER, limits=QUICK).get_token(STORAGE).token


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
        credential_for(who, deployment, used_by=USER, limits=QUICK).get_token(STORAGE)
    assert USER in str(caught.value)
    assert workload.entra.exchanges == []


def test_a_rotated_token_is_presented_at_the_next_exchange(credential: SharedCredential, azure: OfflineAzure) -> None:
    credential.get_token(STORAGE)
    azure.projected_token.rotate()
    credential.get_token("https://vault.azure.net/.default")
    first, second = azure.entra.exchanges
    assert first.assertion_id != second.assertion_id


def test_a_rotation_between_two_attempts_is_noticed(
    workload: OfflineAzure,
    who: WorkloadIdentity,
    deployment: Deployment,
    tmp_path: Path,
) -> None:
    """The token expires on its way to Entra, and is replaced in the file meanwhile."""
    (file := tmp_path / "token").write_text(
        workload.cluster.service_account_token("airflow", "airflow-worker", exp=time.time() + 5)
    )
    workload.entra.fail_next(Delay(6))
    fresh = workload.projected_token.path.read_text()
    threading.Timer(3, file.write_text, (fresh,)).start()
    assert credential_for(who, replace(deployment, token_file=file), used_by=USER).get_token(STORAGE).token
    assert outcomes(workload) == ["AADSTS700024", None]


def test_a_token_outside_its_time_range_is_not_presented_again(
    credential: SharedCredential, azure: OfflineAzure
) -> None:
    azure.entra.fail_next(*[Refuse("AADSTS700024")] * 3)
    message = refusal_of(credential)
    assert outcomes(azure) == ["AADSTS700024"]
    assert re.search(r"valid from 20\d\d-.* UTC to 20\d\d-.* UTC", message)


@pytest.mark.parametrize(
    "answer",
    [
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "soon"},
        {"expires_in": None},
        {"expires_in": 1e300},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": ["a"]},
        {"access_token": {"a": "b"}},
        {"expires_on": "yesterday"},
    ],
)
def test_a_token_response_that_makes_no_sense(
    credential: SharedCredential, azure: OfflineAzure, answer: dict[str, object]
) -> None:
    response = {"token_type": "Bearer", "expires_in": 3600, "access_token": "x.y.z"} | answer
    azure.entra.fail_next(Status(200, json.dumps(response).encode(), headers=JSON))
    assert "returned an invalid token response" in refusal_of(credential)


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token": "x", "expires_in": 1e999}',
        b'{"access_token": "x"}',
        b"[" * 60_000,
        b'{"a": ' * 10_000,
        b'{"expires_in": 9' + b"9" * 5000 + b', "access_token": "x"}',
    ],
)
def test_json_that_breaks_parsers(credential: SharedCredential, azure: OfflineAzure, body: bytes) -> None:
    azure.entra.fail_next(Status(200, body, headers=JSON))
    message = refusal_of(credential)
    assert "returned an invalid token response" in message
    assert len(message) < 2500


def test_an_answer_is_shown_in_part_and_without_what_it_could_do(
    credential: SharedCredential, azure: OfflineAzure, caplog: pytest.LogCaptureFixture
) -> None:
    token = azure.projected_token.path.read_text()
    text = f"AADSTS50027: \x1b[31mred\r\n2026-11-26 INFO forged {token} " + "and more " * 1000
    body = json.dumps({"error": "invalid_request", "error_description": text}).encode()
    azure.entra.fail_next(Status(400, body, headers=JSON))
    with caplog.at_level(logging.INFO):
        message = refusal_of(credential)
    assert r"\x1b[31mred\r\n2026-11-26 INFO forged [not shown] and more" in message
    assert len(message) < 2500
    for shown in (message, caplog.text):
        assert token[:100] not in shown
        assert "\x1b" not in shown
    assert "and more" not in caplog.text, "azure-identity's own warning quotes all of it"


class Streaming:
    """A token endpoint that sends one chunk after the other and never ends; served as an authority host."""

    host = "streaming.login.example.com"

    def __init__(self, chunk: bytes, *, every_seconds: float = 0.0) -> None:
        self.chunk = chunk
        self.every_seconds = every_seconds
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        response = StreamingResponse(self._chunks(), media_type="application/json")
        with suppress(OSError):
            await response(scope, receive, send)

    async def _chunks(self) -> AsyncIterator[bytes]:
        for _ in range(10_000):
            await asyncio.sleep(self.every_seconds)
            self.sent += len(self.chunk)
            yield self.chunk


def test_of_an_answer_without_an_end_little_is_read(
    workload: OfflineAzure, who: WorkloadIdentity, deployment: Deployment
) -> None:
    server = Streaming(b'"' + b"x" * 65_535)
    with workload.serving(server, server.host):
        elsewhere = replace(deployment, authority_host=f"https://{server.host}")
        message = refusal_of(credential_for(who, elsewhere, used_by=USER, limits=QUICK))
    assert "returned an invalid token response" in message
    assert len(message) < 2500
    assert server.sent < 20_000_000, "of 655 MB; what the sockets between hold is more than what is read"


def test_a_server_that_trickles_keeps_nobody_for_long(
    workload: OfflineAzure, who: WorkloadIdentity, deployment: Deployment
) -> None:
    limits = replace(QUICK, exchange_seconds=3.0)
    server = Streaming(b" ", every_seconds=0.3)
    with workload.serving(server, server.host):
        begun = time.monotonic()
        elsewhere = replace(deployment, authority_host=f"https://{server.host}")
        assert "could not be reached" in refusal_of(credential_for(who, elsewhere, used_by=USER, limits=limits))
        assert time.monotonic() - begun < 6


def test_one_line_says_that_there_is_a_token(
    credential: SharedCredential, azure: OfflineAzure, who: WorkloadIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            credential.get_token(STORAGE)
    own = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert own == [f"Got an access token for https://storage.azure.com as client id {who.client_id}, valid for 60 min"]


def test_a_refusal_is_said_by_the_error_alone(
    credential: SharedCredential, azure: OfflineAzure, caplog: pytest.LogCaptureFixture
) -> None:
    azure.entra.fail_next(Refuse("AADSTS700016"))
    with caplog.at_level(logging.INFO):
        refusal_of(credential)
    assert caplog.text == ""


def test_debug_shows_the_requests(credential: SharedCredential, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        credential.get_token(STORAGE)
    assert "Request method: 'POST'" in caplog.text


def crash_report(error: BaseException) -> str:
    """What a reporter sends that captures the variables of each frame: those of the package's frames."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in report.stack if "/tests/" not in frame.filename]
    )
    return "".join(report.format())


def test_no_frame_of_an_error_holds_a_token(
    credential: SharedCredential, who: WorkloadIdentity, azure: OfflineAzure, deployment: Deployment, tmp_path: Path
) -> None:
    token = azure.projected_token.path.read_text()
    half = tmp_path / "half"
    half.write_text(token[: token.rindex(".")])
    failures = {
        "unreachable": replace(deployment, authority_host="https://127.0.0.1:1"),
        "half a token": replace(deployment, token_file=half),
        "refused": deployment,
        "invalid token response": deployment,
    }
    for name, failing in failures.items():
        azure.entra.clear()
        if name == "refused":
            azure.entra.fail_next(Refuse("AADSTS700016"))
        if name == "invalid token response":
            azure.entra.fail_next(Status(200, json.dumps({"access_token": token, "expires_in": -1}).encode()))
        with pytest.raises(WorkloadIdentityError) as caught:
            credential_for(who, failing, used_by=USER, limits=QUICK).get_token(STORAGE)
        assert caught.value.__cause__ is None, name
        assert caught.value.__context__ is None, name
        assert token[:60] not in crash_report(caught.value), name


def test_errors_keep_their_fields_across_processes(credential: SharedCredential, azure: OfflineAzure) -> None:
    azure.entra.fail_next(*[Refuse("AADSTS700213")] * 2)
    with pytest.raises(TokenExchangeError) as caught:
        credential.get_token(STORAGE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.fields() == caught.value.fields()
    assert str(again) == str(caught.value)
    assert "az identity federated-credential create" in caught.value.command


class TestTheTenantThatAServiceNames:
    @pytest.fixture
    def by_domain(self, identity: ManagedIdentity, deployment: Deployment) -> SharedCredential:
        identity.tenant_domain = "contoso.onmicrosoft.com"
        return credential_for(WorkloadIdentity(identity.client_id, identity.tenant_domain), deployment, used_by=USER)

    def test_may_be_the_guid_of_a_domain(
        self, by_domain: SharedCredential, identity: ManagedIdentity, azure: OfflineAzure
    ) -> None:
        for _ in range(2):
            assert by_domain.get_token(STORAGE, tenant_id=identity.tenant_id.upper()).token
        assert len(azure.entra.exchanges) == 1

    @pytest.mark.parametrize("kind", ["guid", "domain"])
    def test_is_another(self, credential: SharedCredential, by_domain: SharedCredential, kind: str) -> None:
        another = "11111111-2222-3333-4444-555555555555"
        asked = credential if kind == "guid" else by_domain
        with pytest.raises(TenantError, match=f"is in the tenant {another}") as caught:
            asked.get_token(STORAGE, tenant_id=another)
        assert "eyJ" not in crash_report(caught.value)

    def test_as_key_vault_names_it(
        self, by_domain: SharedCredential, identity: ManagedIdentity, recorder: Recorder
    ) -> None:
        """Key Vault's own client, whose challenge policy passes the tenant on."""
        where = f"https://login.microsoftonline.com/{identity.tenant_id}"
        header = {"WWW-Authenticate": f'Bearer authorization="{where}", resource="https://vault.azure.net"'}
        secret = {"value": "it", "id": "https://my-vault.vault.azure.net/secrets/api-key/3c2a"}
        recorder.answers = (
            Answer("GET my-vault.vault.azure.net/", {}, 401, header, to_anonymous=True),
            Answer("GET my-vault.vault.azure.net/secrets/api-key/", secret),
        )
        client = SecretClient("https://my-vault.vault.azure.net", by_domain)
        assert client.get_secret("api-key").value == "it"
