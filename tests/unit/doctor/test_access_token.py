import jwt
import pytest

from airflow_azure_wi.doctor import Case, Status
from airflow_azure_wi.doctor.sign_in_checks import check_access_token
from tests.stored_connection import StoredConnection

CLIENT, TENANT, OBJECT = (f"{digit * 8}-0000-0000-0000-000000000000" for digit in "123")
CASE = Case.of(StoredConnection({"clientId": CLIENT, "tenantId": TENANT}), environment={})


def token(**claims: object) -> str:
    known = {"appid": CLIENT, "tid": TENANT, "oid": OBJECT, "iat": 1000, "exp": 4600}
    return jwt.encode(known | claims, "a key of sufficient length for HS256")


def test_what_an_access_token_says() -> None:
    result, who = check_access_token(CASE, token(roles=["Reader.All", "Writer"]))
    assert result.status is Status.OK
    assert who == f"Signed in as {CLIENT} (object id {OBJECT}) in tenant {TENANT}."
    assert result.found == f"{who} Application roles: Reader.All, Writer. Valid for 60 min."
    # People take "none" for the cause of a 403.
    assert check_access_token(CASE, token())[0].found == f"{who} Valid for 60 min."


def test_claims_cannot_write_to_the_terminal() -> None:
    result, who = check_access_token(CASE, token(oid="\x1b[2Jx", appid="\x1b]0;x\x07", roles=["\x1b[31m", "\u202e"]))
    assert (result.found + who).isprintable()
    assert r"\x1b[2Jx" in who


def test_a_token_of_somebody_else_is_worth_a_warning() -> None:
    assert check_access_token(CASE, token(appid=OBJECT))[0].status is Status.WARNING


@pytest.mark.parametrize("opaque", ["opaque", "a.b.c", ""])
def test_a_token_that_cannot_be_read_is_none_the_worse(opaque: str) -> None:
    result, who = check_access_token(CASE, opaque)
    assert result.status is Status.OK
    assert "does not name" in who
