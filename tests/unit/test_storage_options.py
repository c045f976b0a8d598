from typing import Any

import pytest

from airflow_azure_wi.clouds import PUBLIC, US_GOVERNMENT, Cloud
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.storage_options import storage_options

CREDENTIAL = object()


def options(account: str, cloud: Cloud = PUBLIC) -> dict[str, Any]:
    options = storage_options(account, cloud=cloud, credential=CREDENTIAL)
    assert options.pop("credential") is CREDENTIAL
    return options


def test_an_account_is_looked_for_in_its_cloud() -> None:
    assert options("acct") == {"account_name": "acct", "account_host": "acct.blob.core.windows.net"}
    assert options("acct", US_GOVERNMENT)["account_host"] == "acct.blob.core.usgovcloudapi.net"


def test_a_url_says_where_it_is() -> None:
    assert options("https://acct.blob.example.com/") == {
        "account_name": "acct",
        "account_host": "acct.blob.example.com",
    }


@pytest.mark.parametrize("account", ["", "Acct", "ac", "acct.evil.example", "http://acct", "https://u:p@acct", "a/b"])
def test_anything_else_is_refused(account: str) -> None:
    with pytest.raises(EndpointError, match="expected"):
        options(account)
