import os
import threading
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azure_wi.errors import FederatedTokenError
from airflow_azure_wi.tokens import FederatedToken, read_federated_token

CLAIMS = {
    "iss": "https://oidc.example.com/",
    "sub": "system:serviceaccount:airflow:airflow-worker",
    "aud": ["api://AzureADTokenExchange"],
    "iat": 1_700_000_000,
    "exp": 1_700_003_600,
}
NAMED_BY = "AZURE_FEDERATED_TOKEN_FILE"


def signed(**overrides: Any) -> str:
    return jwt.encode(CLAIMS | overrides, "a key of sufficient length for HS256")


def error_of(path: Path) -> str:
    with pytest.raises(FederatedTokenError) as caught:
        read_federated_token(path, named_by=NAMED_BY)
    message = str(caught.value)
    assert NAMED_BY in message
    assert str(path) in message
    return message


def test_the_claims_that_entra_compares(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(signed() + "\n")
    token = read_federated_token(file, named_by=NAMED_BY)
    assert token.value == signed()
    assert token.issuer == "https://oidc.example.com/"
    assert token.subject == "system:serviceaccount:airflow:airflow-worker"
    assert token.audience == ("api://AzureADTokenExchange",)
    assert token.seconds_left(1_700_000_000) == 3600


def test_an_audience_may_be_one_string() -> None:
    assert FederatedToken.parse(signed(aud="api://one"), source="x").audience == ("api://one",)


def test_the_token_stays_out_of_its_repr() -> None:
    token = FederatedToken.parse(signed(), source="x")
    assert token.value not in repr(token)
    assert token.value not in token.describe_claims()


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    message = error_of(tmp_path / "absent")
    assert "does not exist" in message
    assert "azure.workload.identity/use" in message


def test_an_empty_file(tmp_path: Path) -> None:
    (file := tmp_path / "token").write_text("\n")
    assert "found an empty file, expected a JSON Web Token" in error_of(file)


@pytest.mark.parametrize("content", ["not a token", "a.b.c", signed()[:40], "eyJhbGciOiJub25lIn0.W10."])
def test_what_is_no_token_is_not_repeated(tmp_path: Path, content: str) -> None:
    (file := tmp_path / "token").write_text(content)
    message = error_of(file)
    assert f"found {len(content)} characters of something else" in message
    assert content not in message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (file := tmp_path / "token").write_bytes(b"\xff\xfe\x00")
    assert "does not hold text" in error_of(file)


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    assert "is not a regular file" in error_of(tmp_path)


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(FederatedTokenError, match="cannot be read"):
        read_federated_token(Path("a\0b"), named_by=NAMED_BY)


def test_an_expired_token_is_not_presented(tmp_path: Path) -> None:
    (file := tmp_path / "token").write_text(signed(exp=time.time() - 90))
    with pytest.raises(FederatedTokenError, match=r"expired 9\d s ago .*airflow-worker"):
        read_federated_token(file, named_by=NAMED_BY, must_be_valid=True)
    assert read_federated_token(file, named_by=NAMED_BY).subject


def test_a_token_without_expiry_is_presented(tmp_path: Path) -> None:
    (file := tmp_path / "token").write_text(jwt.encode({"iss": "x"}, "a key of sufficient length for HS256"))
    assert read_federated_token(file, named_by=NAMED_BY, must_be_valid=True).seconds_left(0) is None


def test_a_file_that_appears_a_moment_later_is_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    threading.Timer(0.06, lambda: file.write_text(signed())).start()
    assert read_federated_token(file, named_by=NAMED_BY).value == signed()


def test_a_time_beyond_all_measure_is_no_time() -> None:
    assert FederatedToken.parse(signed(exp=10**400), source="x").expires_at is None


@given(text=st.text())
def test_any_text_is_a_token_or_the_one_error(text: str) -> None:
    with suppress(FederatedTokenError):
        FederatedToken.parse(text, source="x")


@given(
    claims=st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "iat", "exp"]),
        st.none() | st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.integers()),
    )
)
def test_any_claims_are_described(claims: dict[str, Any]) -> None:
    import base64
    import json

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    token = FederatedToken.parse(f"{part({'alg': 'RS256'})}.{part(claims)}.c2ln", source="x")
    assert token.describe_claims()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    begun = time.monotonic()
    assert "is not a regular file" in error_of(tmp_path / "token")
    assert time.monotonic() - begun < 2


def test_a_device_and_a_folder_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    assert "is not a regular file" in error_of(tmp_path / "device")
    assert "is not a regular file" in error_of(tmp_path / "folder")


def test_of_a_file_that_is_too_large_little_is_read(tmp_path: Path) -> None:
    with (tmp_path / "token").open("wb") as file:
        file.truncate(1_000_000_000)
    tracemalloc.start()
    try:
        assert "is larger than 64 KiB" in error_of(tmp_path / "token")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_claims_are_shown_without_what_they_could_do(tmp_path: Path) -> None:
    token = FederatedToken.parse(signed(sub="\x1b[31mred\n" + "x" * 5000, iss="a\u202eb"), source="x")
    assert token.describe_claims().isprintable()
    assert len(token.describe_claims()) < 1500
    assert r"\x1b[31mred\n" in token.describe_claims()


def test_when_it_is_valid_is_said_whatever_the_claims_are() -> None:
    token = FederatedToken.parse(signed(nbf=1_700_000_000), source="x")
    assert token.validity() == "valid from 2023-11-14 22:13:20 UTC to 2023-11-14 23:13:20 UTC"
    for claims in ({"nbf": 1e300}, {"nbf": -1e300}, {"nbf": "soon"}):
        assert FederatedToken.parse(signed(**claims), source="x").validity().isprintable()
