import logging
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core import AzureClouds
from azure.cosmos import CosmosClient
from azure.data.tables import TableServiceClient
from azure.keyvault.secrets import SecretClient
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storage.aio import StorageManagementClient as AsyncStorageManagementClient
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

from airflow_azure_wi import __version__
from airflow_azure_wi.clients import HTTP_LOGGER, arguments_for, quiet_http_logging, user_agent
from airflow_azure_wi.clouds import CHINA, PUBLIC, US_GOVERNMENT, Cloud
from airflow_azure_wi.endpoints import Endpoint
from airflow_azure_wi.errors import ClientError

CREDENTIAL = object()


def arguments(
    client_class: type[Any],
    is_async: bool = False,
    subscription: str | None = "sub",
    cloud: Cloud = PUBLIC,
    endpoint: str | None = None,
    sender: str | None = None,
    **given: Any,
) -> Any:
    return arguments_for(
        client_class,
        given,
        credential=CREDENTIAL,
        subscription_id=subscription,
        cloud=cloud,
        is_async=is_async,
        source="connection 'azure_wi'",
        endpoint=Endpoint.of(endpoint) if endpoint else None,
        sender=sender,
    )


def test_the_credential_is_added_to_what_the_call_gives() -> None:
    assert arguments(BlobServiceClient, account_url="https://a") == {
        "account_url": "https://a",
        "credential": CREDENTIAL,
    }


def test_what_the_call_gives_wins() -> None:
    assert arguments(BlobServiceClient, account_url="https://a", credential="key")["credential"] == "key"


@pytest.mark.parametrize(
    ("client_class", "is_async"), [(StorageManagementClient, False), (AsyncStorageManagementClient, True)]
)
def test_a_management_client_gets_the_subscription(client_class: type[Any], is_async: bool) -> None:
    assert arguments(client_class, is_async)["subscription_id"] == "sub"
    assert arguments(client_class, is_async, subscription_id="mine")["subscription_id"] == "mine"


@pytest.mark.parametrize("client_class", [StorageManagementClient, AsyncStorageManagementClient])
def test_a_management_client_goes_to_its_cloud(client_class: type[Any]) -> None:
    is_async = client_class is AsyncStorageManagementClient
    client = client_class(**arguments(client_class, is_async, cloud=US_GOVERNMENT))
    assert client._config.base_url == "https://management.usgovcloudapi.net"
    assert client._config.credential_scopes == ["https://management.usgovcloudapi.net/.default"]
    mine = arguments(client_class, is_async, cloud=CHINA, base_url="https://mine")
    assert (mine["base_url"], mine["credential_scopes"]) == (
        "https://mine",
        ["https://management.chinacloudapi.cn/.default"],
    )


def test_where_the_call_or_azure_core_decides_on_the_cloud_the_connection_does_not() -> None:
    by_call = arguments(StorageManagementClient, cloud=CHINA, cloud_setting=AzureClouds.AZURE_US_GOVERNMENT)
    assert by_call.keys() == {"credential", "subscription_id", "cloud_setting"}
    assert arguments(StorageManagementClient).keys() == {"credential", "subscription_id"}
    assert arguments(BlobServiceClient, cloud=CHINA, account_url="https://a").keys() == {"credential", "account_url"}


def test_a_missing_subscription_is_said_before_azure_is_asked() -> None:
    with pytest.raises(ClientError, match="StorageManagementClient wants a subscription, and connection 'azure_wi'"):
        arguments(StorageManagementClient, subscription=None)


def test_a_subscription_that_is_optional_may_be_missing() -> None:
    class Client:
        def __init__(self, credential: Any, subscription_id: str | None = None) -> None: ...

    assert arguments(Client, subscription=None) == {"credential": CREDENTIAL}


def test_an_asynchronous_class_is_told_from_a_synchronous_one() -> None:
    with pytest.raises(ClientError, match=r"is an asynchronous client: build it with get_async_client\(\)"):
        arguments(AsyncBlobServiceClient, account_url="https://a")
    with pytest.raises(ClientError, match=r"is a synchronous client: build it with get_client\(\)"):
        arguments(BlobServiceClient, is_async=True, account_url="https://a")


def test_a_class_that_takes_no_credential_is_named() -> None:
    class Client:
        def __init__(self, endpoint: str) -> None: ...

    with pytest.raises(ClientError, match=r"Client takes no credential=.*get_credential\(\)"):
        arguments(Client)


@pytest.fixture
def http_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(HTTP_LOGGER)
    before = logger.level
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(before)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (None, logging.WARNING),
        (" ", logging.WARNING),
        ("INFO", logging.INFO),
        ("debug", logging.DEBUG),
        ("20", logging.INFO),
        ("loud", logging.WARNING),
    ],
)
def test_requests_are_logged_only_where_the_variable_of_the_stock_provider_says_so(
    http_logger: logging.Logger, value: str | None, level: int
) -> None:
    quiet_http_logging({} if value is None else {"AZURE_HTTP_LOGGING_LEVEL": value})
    assert http_logger.level == level


def test_a_level_that_someone_has_set_stays_unless_the_variable_says_otherwise(http_logger: logging.Logger) -> None:
    http_logger.setLevel(logging.INFO)
    quiet_http_logging({})
    assert http_logger.level == logging.INFO
    quiet_http_logging({"AZURE_HTTP_LOGGING_LEVEL": "ERROR"})
    assert http_logger.level == logging.ERROR


class WithNamespace:
    def __init__(self, fully_qualified_namespace: str, credential: object) -> None:
        pass


@pytest.mark.parametrize(
    ("client_class", "argument", "value"),
    [
        (BlobServiceClient, "account_url", "https://acct.example/path"),
        (SecretClient, "vault_url", "https://acct.example/path"),
        (TableServiceClient, "endpoint", "https://acct.example/path"),
        (CosmosClient, "url", "https://acct.example/path"),
        (WithNamespace, "fully_qualified_namespace", "acct.example"),
    ],
)
def test_the_endpoint_of_the_id_is_what_the_class_calls_it(client_class: type[Any], argument: str, value: str) -> None:
    assert arguments(client_class, endpoint="https://acct.example/path")[argument] == value


def test_the_same_endpoint_may_be_given_twice_and_another_may_not() -> None:
    same = {"endpoint": "https://acct.example", "account_url": "https://acct.example/"}
    assert arguments(BlobServiceClient, **same)["account_url"] == "https://acct.example"
    with pytest.raises(ClientError, match="'azure_wi' names an endpoint, and account_url='https://b' another one"):
        arguments(BlobServiceClient, endpoint="https://acct.example", account_url="https://b")


def test_a_client_that_takes_no_endpoint_refuses_the_id() -> None:
    with pytest.raises(ClientError, match=r"StorageManagementClient has no argument for one.*Use the id .* without"):
        arguments(StorageManagementClient, endpoint="https://acct.example")


class OfAnotherVendor:
    def __init__(self, credential: Any, **options: Any) -> None:
        """Takes whatever it is given."""


class StrictBlobs(BlobServiceClient):
    def __init__(self, credential: Any) -> None:
        super().__init__("https://acct.blob.core.windows.net", credential=credential)


@pytest.mark.parametrize(
    ("client_class", "given", "sent"),
    [
        (BlobServiceClient, {}, "ours/1"),
        (BlobServiceClient, {"user_agent": "mine/2"}, "mine/2 ours/1"),
        (BlobServiceClient, {"user_agent": "mine/2", "user_agent_overwrite": True}, "mine/2"),
        (StorageManagementClient, {}, "ours/1"),
        (OfAnotherVendor, {}, None),
        (OfAnotherVendor, {"user_agent": "mine/2"}, "mine/2"),
        (StrictBlobs, {}, None),
    ],
)
def test_the_sender_is_named_to_clients_of_azure_beside_the_callers_own(
    client_class: type[Any], given: dict[str, Any], sent: str | None
) -> None:
    found = arguments(client_class, sender="ours/1", **given)
    assert found.get("user_agent") == sent
    assert arguments(client_class, **given).get("user_agent") == given.get("user_agent"), "turned off"


@pytest.mark.parametrize(
    ("operator", "caller"),
    [
        (None, ""),
        ("PythonOperator", " Caller/PythonOperator"),
        ("Eve\r\nHost: evil (Bölt)", " Caller/EveHostevilBlt"),
        ("\u5c0f", ""),
        ("O" * 500, f" Caller/{'O' * 64}"),
    ],
)
def test_a_user_agent_is_the_package_and_a_bounded_name(operator: str | None, caller: str) -> None:
    assert user_agent({}, operator) == f"airflow-azure-wi/{__version__}{caller}"


@pytest.mark.parametrize(("value", "is_named"), [("true", False), ("1", False), (" True ", False), ("false", True)])
def test_the_variable_of_the_azure_sdks_turns_it_off(value: str, is_named: bool) -> None:
    assert (user_agent({"AZURE_TELEMETRY_DISABLED": value}, "PythonOperator") is not None) == is_named
