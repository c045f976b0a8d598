from typing import Any

import pytest

from airflow_azure_wi.clouds import CHINA, PUBLIC, US_GOVERNMENT, Cloud
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.tools import storage_options, variables_for

DEPLOYMENT = Deployment.of({"AZURE_FEDERATED_TOKEN_FILE": "/it"})


def test_each_tool_finds_its_own_names() -> None:
    assert variables_for(WorkloadIdentity("client", "tenant", "subscription"), DEPLOYMENT) == {
        "AZURE_CLIENT_ID": "client",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_SUBSCRIPTION_ID": "subscription",
        "AZURE_FEDERATED_TOKEN_FILE": "/it",
        "AZURE_AUTHORITY_HOST": PUBLIC.authority_host,
        "AZCOPY_AUTO_LOGIN_TYPE": "WORKLOAD",
        "ARM_USE_OIDC": "true",
        "ARM_CLIENT_ID": "client",
        "ARM_TENANT_ID": "tenant",
        "ARM_SUBSCRIPTION_ID": "subscription",
        "ARM_OIDC_TOKEN_FILE_PATH": "/it",
        "ARM_ENVIRONMENT": "public",
    }


def test_the_cloud_is_named_and_no_subscription_where_there_is_none() -> None:
    variables = variables_for(WorkloadIdentity("client", "tenant", cloud=CHINA), DEPLOYMENT)
    assert variables["AZURE_AUTHORITY_HOST"] == CHINA.authority_host
    assert variables["ARM_ENVIRONMENT"] == "china"
    assert not [name for name in variables if "SUBSCRIPTION" in name]


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
