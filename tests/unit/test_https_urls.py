import pytest

from airflow_azure_wi.https_urls import split_https_url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "login.microsoftonline.com",
        "http://login.microsoftonline.com",
        "https://",
        "https:///path",
        "https://user@login.microsoftonline.com",
        "https://host:no-number",
        "https://host:99999",
        "https://[::1",
        "https://ho st",
        "https://host/a b",
        "https://host/\n",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert split_https_url(text) is None


@pytest.mark.parametrize("text", ["https://host", "HTTPS://Host:8443/path/", "https://[::1]:8443", "https://host?q#f"])
def test_an_https_url_has_parts(text: str) -> None:
    parts = split_https_url(text)
    assert parts is not None
    assert parts.hostname in ("host", "::1")
