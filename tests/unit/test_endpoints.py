"""Connection ids that name an endpoint."""

import pickle

import pytest

from airflow_azure_wi import at
from airflow_azure_wi.endpoints import Endpoint, split
from airflow_azure_wi.errors import EndpointError

BLOB = "https://acct.blob.core.windows.net"


@pytest.mark.parametrize(
    ("url", "hostname", "account", "location"),
    [
        (BLOB, "acct.blob.core.windows.net", "acct", "acct.blob.core.windows.net"),
        ("https://acct.services.ai.azure.com/api/projects/p", "acct.services.ai.azure.com", "acct", None),
        ("https://127.0.0.1:10000/devstoreaccount1", "127.0.0.1", "127", "127.0.0.1:10000/devstoreaccount1"),
    ],
)
def test_the_id_is_plain_text_that_leads_back(url: str, hostname: str, account: str, location: str | None) -> None:
    conn_id = at("azure_wi", url)
    assert conn_id == f"azure_wi@{url}"
    assert type(pickle.loads(pickle.dumps(conn_id))) is str
    assert split(conn_id) == ("azure_wi", Endpoint(url))
    endpoint = Endpoint.of(url)
    assert (endpoint.hostname, endpoint.account) == (hostname, account)
    assert location in (None, endpoint.location)


def test_a_slash_at_the_end_makes_no_other_id() -> None:
    assert at("azure_wi", f"{BLOB}/") == at("azure_wi", BLOB)


@pytest.mark.parametrize("conn_id", ["azure_wi", "team@mail.example", "", "a@b@c", "wasb_default"])
def test_other_ids_are_left_alone(conn_id: str) -> None:
    assert split(conn_id) == (conn_id, None)


@pytest.mark.parametrize(
    "endpoint",
    [
        "acct.blob.core.windows.net",
        "http://acct.blob.core.windows.net",
        "https://",
        "https:///container",
        "https://me@acct.blob.core.windows.net",
        "https://acct.blob.core.windows.net?sv=2024&sig=verysecret",
        "https://acct.blob.core.windows.net/#part",
        "https://acct.blob.core.windows.net:port",
        "https://acct.blob.core.windows.net/a b",
        "https://acct.blob.core.windows.net\n",
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


def test_an_id_is_checked_when_it_is_used_not_only_when_it_is_made() -> None:
    with pytest.raises(EndpointError, match="http://acct"):
        split("azure_wi@http://acct.blob.core.windows.net")
