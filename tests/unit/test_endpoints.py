"""Connection ids that name an endpoint."""

import pickle

import pytest

from airflow_azure_wi import at
from airflow_azure_wi.endpoints import Endpoint, named, split, split_https_url
from airflow_azure_wi.errors import EndpointError

BLOB = "https://acct.blob.core.windows.net"


@pytest.mark.parametrize(
    ("url", "conn_id", "hostname", "account"),
    [
        (BLOB, "azure_wi@acct.blob.core.windows.net", "acct.blob.core.windows.net", "acct"),
        (
            "https://acct.services.ai.azure.com/api/projects/p",
            "azure_wi@acct.services.ai.azure.com%2Fapi%2Fprojects%2Fp",
            "acct.services.ai.azure.com",
            "acct",
        ),
        ("https://127.0.0.1:10000/acct1", "azure_wi@127.0.0.1%3A10000%2Facct1", "127.0.0.1", "127"),
        (f"{BLOB}/$logs", "azure_wi@acct.blob.core.windows.net%2F%24logs", "acct.blob.core.windows.net", "acct"),
        ("https://[2001:db8::1]:10000", "azure_wi@%5B2001%3Adb8%3A%3A1%5D%3A10000", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_id_is_plain_text_without_a_slash_that_leads_back(
    url: str, conn_id: str, hostname: str, account: str
) -> None:
    assert at("azure_wi", url) == conn_id
    assert type(pickle.loads(pickle.dumps(at("azure_wi", url)))) is str
    own_id, text = split(conn_id)
    assert own_id == "azure_wi"
    endpoint = named(text)
    assert endpoint == Endpoint(url)
    assert (endpoint.hostname, endpoint.account) == (hostname, account)
    assert f"https://{endpoint.location}" == url


@pytest.mark.parametrize(
    "written",
    [f"{BLOB}/", f" {BLOB}\n", "HTTPS://acct.blob.core.windows.net", "https://ACCT.Blob.core.windows.net", BLOB[8:]],
)
def test_what_people_have_in_variables_makes_no_other_id(written: str) -> None:
    assert at("azure_wi", written) == at(" azure_wi ", BLOB)


@pytest.mark.parametrize("conn_id", ["azure_wi", "", "@", "@acct.blob.core.windows.net"])
def test_other_ids_are_left_alone(conn_id: str) -> None:
    assert split(conn_id) == (conn_id, None)


@pytest.mark.parametrize("template", ["{{ var.value.url }}", "https://{{ params.account }}.blob.core.windows.net"])
def test_a_template_is_passed_on_and_understood_once_it_is_rendered(template: str) -> None:
    conn_id = at("azure_wi", f" {template} ")
    assert conn_id == f"azure_wi@{template}"
    rendered = conn_id.replace("{{ var.value.url }}", f"{BLOB}/").replace("{{ params.account }}", "acct")
    own_id, text = split(rendered)
    assert (own_id, named(text)) == ("azure_wi", Endpoint(BLOB))


def test_a_template_that_was_not_rendered_is_named_when_the_id_is_used() -> None:
    _, text = split(at("azure_wi", "{{ var.value.url }}"))
    with pytest.raises(EndpointError, match=r"'{{ var.value.url }}'.* was not rendered.*Variable.get"):
        named(text)


@pytest.mark.parametrize(
    "endpoint",
    [
        "acct",
        "localhost:10000",
        "http://acct.blob.core.windows.net",
        "https://",
        "https:///container",
        "https://me@acct.blob.core.windows.net",
        "https://acct.blob.core.windows.net?sv=2024&sig=verysecret",
        "https://acct.blob.core.windows.net/#part",
        "https://acct.blob.core.windows.net:port",
        "https://acct.blob.core.windows.net/a b",
        "https://acct.blob.core.windows.net:",
        "https://acct.blob.core.windows.net%2Fcontainer",
        "https://acct.blob.core.win\ndows.net",
        "https://[::1",
        "https://[acct.blob.core.windows.net]",
        "https://[fe80::1%25eth0]",
        "",
        "https://evil.example\\@acct.blob.core.windows.net",
        "wasb://container@acct",
        None,
    ],
)
def test_an_endpoint_that_is_no_https_url_of_a_host_is_refused(endpoint: str) -> None:
    with pytest.raises(EndpointError, match=r"expected an https URL of a host, such as") as refused:
        at("azure_wi", endpoint)
    assert "verysecret" not in str(refused.value)


@pytest.mark.parametrize("conn_id", ["", " ", None, at("azure_wi", BLOB)])
def test_only_the_id_of_a_connection_can_be_used_at_an_endpoint(conn_id: str) -> None:
    with pytest.raises(EndpointError, match="expected the id of an azure_workload_identity connection"):
        at(conn_id, BLOB)


@pytest.mark.parametrize(
    "text", ["http://acct.blob.core.windows.net", "acct%252Eblob.core.windows.net", "a%40b.example"]
)
def test_an_id_is_checked_when_it_is_used_not_only_when_it_is_made(text: str) -> None:
    with pytest.raises(EndpointError, match="cannot be used: expected an https URL of a host"):
        named(text)


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
