import time
from dataclasses import replace

import jwt
import pytest

from airflow_azure_wi.doctor import DoctorContext, Report, Result, Status
from airflow_azure_wi.doctor.token_checks import (
    check_access_token,
    check_audience,
    check_claims,
    check_environment,
    check_lifetime,
    check_token_file,
)
from airflow_azure_wi.tokens import FederatedToken
from tests.stored_connection import StoredConnection

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
SUBJECT = "system:serviceaccount:airflow:airflow-worker"
TOKEN = FederatedToken("a.b.c", "https://oidc.example.com/", SUBJECT, ("api://AzureADTokenExchange",), None, None)


CLIENT, TENANT, OBJECT = (f"{digit * 8}-0000-0000-0000-000000000000" for digit in "123")


def context(token: FederatedToken | None = None, cloud: str | None = None, **environment: str) -> DoctorContext:
    extra = {"clientId": CLIENT, "tenantId": TENANT, "cloud_environment": cloud}
    examined = DoctorContext.of(StoredConnection(extra), environment=environment)
    examined.token = token
    return examined


def signed_in(**claims: object) -> DoctorContext:
    known = {"appid": CLIENT, "tid": TENANT, "oid": OBJECT, "iat": 1000, "exp": 4600}
    return holding(jwt.encode(known | claims, "a key of sufficient length for HS256"))


def holding(access_token: str) -> DoctorContext:
    examined = context()
    examined.access_tokens[examined.cloud.resource_manager_scope] = access_token
    return examined


@pytest.mark.parametrize(
    ("age", "left", "status", "found"),
    [
        (600, 3000, Status.OK, "issued 10 min ago, expires in 50 min"),
        (3400, 200, Status.WARNING, "should have been replaced by now"),
        (-600, 3000, Status.WARNING, "issued 10 min in the future"),
        (90000, -300, Status.FAILED, "expired 5 min ago"),
        (None, 9000, Status.OK, "expires in 2 h"),
        (None, None, Status.WARNING, "does not say when it expires"),
    ],
)
def test_a_token_is_valid_and_replaced_in_time(
    age: float | None, left: float | None, status: Status, found: str
) -> None:
    # Seconds from now on, and not from when the tests were collected.
    now = time.time()
    issued_at, expires_at = (None if age is None else now - age), (None if left is None else now + left)
    result = check_lifetime(context(replace(TOKEN, issued_at=issued_at, expires_at=expires_at)))
    assert result.status is status
    assert found in result.found
    assert bool(result.next_step) == (status is not Status.OK)


@pytest.mark.parametrize(
    "issuer", ["https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local", "https://kubernetes"]
)
def test_an_issuer_that_entra_cannot_reach(issuer: str) -> None:
    result = check_claims(context(replace(TOKEN, issuer=issuer)))
    assert result.status is Status.WARNING
    assert "--enable-oidc-issuer" in (result.next_step or "")


def test_a_token_without_a_subject() -> None:
    result = check_claims(context(replace(TOKEN, subject="")))
    assert (result.status, result.found) == (Status.FAILED, "issuer https://oidc.example.com/, subject missing")


def test_the_audience_is_that_of_the_identitys_cloud() -> None:
    assert check_audience(context(TOKEN)).status is Status.OK
    elsewhere = check_audience(context(TOKEN, "AzureUSGovernment"))
    assert elsewhere.status is Status.WARNING
    assert "api://AzureADTokenExchangeUSGov" in (elsewhere.next_step or "")


@pytest.mark.parametrize(
    ("authority", "cloud", "expected"),
    [
        ("https://login.microsoftonline.us/", None, Status.WARNING),
        ("https://login.microsoftonline.com", "AzureChinaCloud", Status.WARNING),
        ("https://login.partner.microsoftonline.cn", "AzureChinaCloud", Status.OK),
        ("https://login.microsoftonline.us", "AzureUSGovernment", Status.OK),
        ("https://entra.example.com", "AzureUSGovernment", Status.OK),
        ("", "AzureUSGovernment", Status.OK),
    ],
)
def test_the_authority_host_and_the_connection_name_one_cloud(
    authority: str, cloud: str | None, expected: Status
) -> None:
    result = check_environment(context(None, cloud, AZURE_AUTHORITY_HOST=authority))
    assert result.status is expected
    if expected is Status.WARNING:
        assert "AZURE_AUTHORITY_HOST wins" in result.found
        assert f"cloud_environment is {cloud or 'AzurePublicCloud'}" in result.found
        assert "in the extra of the connection" in (result.next_step or "")


def test_claims_and_variables_cannot_write_to_the_terminal() -> None:
    escape = "\x1b]0;title\x07\u202e"
    token = replace(TOKEN, issuer=f"https://x{escape}", subject=f"y{escape}", audience=(f"z{escape}",))
    variables = {"AZURE_CLIENT_ID": escape, "AZURE_TENANT_ID": f"Bearer {JWT}", "AZURE_FEDERATED_TOKEN_FILE": escape}
    examined = context(replace(token, expires_at=1.0), **variables)
    checks = (check_claims, check_audience, check_environment, check_lifetime, check_token_file)
    results = [check(examined) for check in checks]
    for result in results:
        assert result.found.isprintable(), result
        assert "eyJ" not in result.found
    shown = Report("connection", (Result("x", Status.OK, f"found {escape}"),), None).as_text()
    assert shown.replace("\n", "").isprintable()


def test_a_token_of_the_future_shows_its_nbf() -> None:
    now = time.time()
    token = replace(TOKEN, issued_at=now + 600, expires_at=now + 4200, not_before=1893456000.0)
    result = check_lifetime(context(token))
    assert result.status is Status.WARNING
    assert "nbf is 2030-01-01 00:00:00 UTC" in result.found
    assert "clock" in (result.next_step or "")
    assert check_lifetime(context(replace(token, issued_at=now, not_before=now))).status is Status.OK


def test_what_an_access_token_says() -> None:
    examined = signed_in(roles=["Reader.All", "Writer"])
    result = check_access_token(examined)
    assert result.status is Status.OK
    who = examined.signed_in
    assert who == f"Signed in as {CLIENT} (object id {OBJECT}) in tenant {TENANT}."
    assert result.found == f"{who} Application roles: Reader.All, Writer. Valid for 60 min."
    # People take "none" for the cause of a 403.
    assert check_access_token(signed_in()).found == f"{who} Valid for 60 min."


def test_claims_of_an_access_token_cannot_write_to_the_terminal() -> None:
    examined = signed_in(oid="\x1b[2Jx", appid="\x1b]0;x\x07", roles=["\x1b[31m", "\u202e"])
    shown = check_access_token(examined).found + str(examined.signed_in)
    assert shown.isprintable()
    assert r"\x1b[2Jx" in shown


def test_a_token_of_somebody_else_is_worth_a_warning() -> None:
    assert check_access_token(signed_in(appid=OBJECT)).status is Status.WARNING


@pytest.mark.parametrize("opaque", ["opaque", "a.b.c", ""])
def test_a_token_that_cannot_be_read_is_none_the_worse(opaque: str) -> None:
    result = check_access_token(holding(opaque))
    assert result.status is Status.OK
    assert "does not name" in result.found


def test_no_token_is_in_what_a_context_shows() -> None:
    examined = signed_in()
    examined.token = replace(TOKEN, value=JWT)
    assert "eyJ" not in repr(examined)
