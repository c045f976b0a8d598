"""What is shown of values that come from outside."""

import base64
import json
import time

import pytest

from airflow_azure_wi.redaction import escaped, excerpt, holds_secret, quoted


def part(value: object, **style: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, **style).encode()).decode().rstrip("=")  # type: ignore[arg-type]


HEADER = {"alg": "RS256", "kid": "key"}
CLAIMS = {"iss": "https://oidc.example.com/", "sub": "system:serviceaccount:airflow:airflow-worker"}
TOKEN = f"{part(HEADER)}.{part(CLAIMS)}.{'s' * 342}"
SPACED = f"{part(HEADER, indent=1)}.{part(CLAIMS, indent=1)}.{'s' * 342}"


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        SPACED,
        f"  {TOKEN}\n",
        f"Bearer {TOKEN}",
        f"bearer  {TOKEN}",
        f'"{TOKEN}"',
        f"'{TOKEN}'",
        f"https://{TOKEN}/",
        f"https://acct.blob.core.windows.net/?token={TOKEN}",
        f"x{TOKEN}",
        TOKEN[:200],
        TOKEN.replace(".", ".\n"),
    ],
)
def test_a_token_is_not_shown_in_whatever_it_is_wrapped(value: str) -> None:
    assert quoted(value) == "something that looks like a token (not shown)"
    assert holds_secret(value)
    shown = excerpt(f"The answer was {value} and more", longest=10_000)
    assert part(CLAIMS)[:20] not in shown
    assert part(CLAIMS, indent=1)[:20] not in shown
    assert "sssss" not in shown
    assert shown.startswith("The answer was ")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("https://me:hunter2@proxy.example.com", "hunter2"),
        ("https://me:hun/ter2@proxy.example.com:8080", "ter2"),
        ("http://me:hun?ter2@proxy.example.com", "ter2"),
        ("https://acct.blob.core.windows.net/c?sv=1&sig=abc%2Bdef", "abc%2Bdef"),
        ('{"access_token": "opaque-one", "expires_in": 1}', "opaque-one"),
        ("{'refresh_token': '0.AXXX-short'}", "0.AXXX-short"),
        ("DefaultEndpointsProtocol=https;AccountKey=c2VjcmV0a2V5;x=1", "c2VjcmV0a2V5"),
        ("client_secret=hunter2&scope=x", "hunter2"),
        ("Authorization: Bearer opaque-two", "opaque-two"),
        ("aB3" * 40, "aB3aB3aB3"),
    ],
)
def test_passwords_and_keys_are_cut_out(text: str, secret: str) -> None:
    assert holds_secret(text)
    assert secret not in quoted(text)
    assert secret not in excerpt(text)
    assert excerpt(excerpt(text)) == excerpt(text), "what was cut out is no secret any more"


@pytest.mark.parametrize(
    "text",
    [
        "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
        "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "system:serviceaccount:airflow:airflow-worker",
        "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourcegroups/airflow-rg/providers/"
        "Microsoft.ManagedIdentity/userAssignedIdentities/airflow",
        "exchange-mail.contoso-corporation.example.com",
        "https://accountname0.privatelink-blob.core.windows.net/container/path",
        "/var/run/secrets/azure/tokens/azure-identity-token",
        "https://acct.blob.core.windows.net:443/container/2026@10",
        "/tmp/" + "a" * 200,
        "AADSTS700213: No matching federated identity record found for presented assertion subject 'x'.",
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    assert not holds_secret(text)
    assert quoted(text, longest=500) == repr(text)
    assert excerpt(text) == text


def test_control_characters_are_escaped() -> None:
    text = "red\x1b[31m\r\n2026-11-26 INFO forged\u202e\u2028\x00"
    for shown in (quoted(text), excerpt(text), escaped(text)):
        assert shown.isprintable()
    assert excerpt(text) == r"red\x1b[31m\r\n2026-11-26 INFO forged\u202e\u2028\x00"


@pytest.mark.parametrize("size", [1_000, 100_000, 50_000_000])
def test_the_length_is_bounded_and_so_is_the_time(size: int) -> None:
    long = "word " * (size // 5)
    begun = time.monotonic()
    assert len(quoted(long)) < 100
    assert len(excerpt(long)) < 510
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    "piece",
    [
        "x",
        "x.",
        "abcdefgh.",
        "eyJ",
        "eyJabcdefgh.",
        "secret ",
        "secret=",
        "sig: ",
        "://",
        "://a",
        "://a:b",
        "bearer ",
        "+/",
        "aB1",
        " ",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    begun = time.monotonic()
    for show in (quoted, excerpt, holds_secret):
        show(text)
    assert time.monotonic() - begun < 2


def test_a_structure_is_named() -> None:
    assert quoted({"a": 1}) == "a JSON object"
    assert quoted([1]) == "a JSON array"
    assert quoted(None) == "None"
    assert quoted(7) == "7"
