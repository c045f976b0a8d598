"""What is read of a connection, by whom."""

import asyncio
import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.cosmos import AzureCosmosDBHook
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

from airflow_azure_wi import AzureWorkloadIdentityHook, at
from airflow_azure_wi.airflow_compat import BaseHook
from airflow_azure_wi.errors import ClientError, EndpointError, IdentityError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.recorder import Answer, Recorder
from tests.stock.cases import NO_QUEUES
from tests.stock.conftest import Connect

SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
SCOPE = "https://management.azure.com/.default"


def test_stock_hooks_find_the_names_that_they_look_for(connection: str, identity: ManagedIdentity) -> None:
    read = AzureBaseHook.get_connection(connection)
    for extra in (read.extra_dejson, json.loads(read.extra)):
        assert extra["managed_identity_client_id"] == identity.client_id
        assert extra["workload_identity_tenant_id"] == extra["tenantId"] == identity.tenant_id
        assert extra["subscriptionId"] == extra["subscription_id"] == identity.subscription_id


def test_dag_code_that_reads_it_through_base_hook_finds_the_client_id(
    connection: str, identity: ManagedIdentity
) -> None:
    assert BaseHook.get_connection(connection).extra_dejson["clientId"] == identity.client_id


def test_what_stock_hooks_change_of_it_is_theirs_alone(connection: str) -> None:
    read = AzureBaseHook.get_connection(connection)
    read.extra_dejson.clear()
    assert "managed_identity_client_id" in read.extra_dejson


def test_all_others_find_what_is_stored(connect: Connect, identity: ManagedIdentity) -> None:
    stored = {"clientId": identity.client_id, "tenantId": identity.tenant_id}
    connect("azure_wi", "azure_workload_identity", extra=stored)

    class OwnHook(BaseHook):
        """A hook of someone else."""

    for reader in (OwnHook, AzureWorkloadIdentityHook):
        assert reader.get_connection("azure_wi").extra_dejson == stored


@pytest.mark.parametrize("conn_type", ["wasb", "azure", "http"])
def test_connections_of_other_types_are_not_touched(conn_type: str, connect: Connect) -> None:
    extra = {"tenantId": "contoso.onmicrosoft.com", "managed_identity_client_id": SUBSCRIPTION, "tenant_id": "t"}
    connect("other", conn_type, extra=extra, login="me", password="secret", host="https://acct.blob.core.windows.net")
    read = WasbHook.get_connection("other")
    assert read.extra_dejson == extra
    assert (read.login, read.password, read.host) == ("me", "secret", "https://acct.blob.core.windows.net")
    assert type(read).__module__.startswith("airflow.")


def test_threads_share_a_generic_hook_whose_connection_is_of_another_type(connect: Connect) -> None:
    hook: Any = None
    in_another_thread: list[Any] = []

    def client(**_: Any) -> str:
        if not in_another_thread:
            in_another_thread.append(None)
            with ThreadPoolExecutor() as threads:
                in_another_thread[:] = [threads.submit(hook.get_conn).result()]
        return "client"

    connect("other", "azure", extra={"subscriptionId": SUBSCRIPTION})
    hook = AzureBaseHook(client, "other")
    read = hook.get_connection = Mock(return_value=AzureBaseHook.get_connection("other"))
    assert (hook.get_conn(), in_another_thread) == ("client", ["client"])
    assert hook.get_connection is read


@pytest.mark.parametrize("extra", [{"sas_token": "sv=1"}, {}])
def test_no_secret_that_lies_beside_the_identity_is_used(
    extra: dict[str, object], connect: Connect, identity: ManagedIdentity
) -> None:
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json() | extra, password="secret")
    assert AzureBaseHook.get_connection("azure_wi").password is None


def test_stock_hooks_find_what_is_stored_under_prefixed_names_or_within_an_extra(
    connect: Connect, identity: ManagedIdentity
) -> None:
    stored = {f"extra__azure_workload_identity__{name}": value for name, value in identity.as_json().items()}
    stored["extra__azure_workload_identity__resource_group"] = "rg"
    connect("azure_wi", "azure_workload_identity", extra={"extra": json.dumps(stored)})
    read = AzureBaseHook.get_connection("azure_wi").extra_dejson
    assert read["managed_identity_client_id"] == identity.client_id
    assert read["resource_group"] == "rg"


@pytest.mark.parametrize("scheme", ["azure_workload_identity", "AZURE_WORKLOAD_IDENTITY", "azure_workload-identity"])
@pytest.mark.parametrize("conn_id", ["azure_wi", at("azure_wi", "https://acct.blob.core.windows.net")])
def test_a_uri_whose_scheme_has_underscores_says_what_to_write(
    conn_id: str, scheme: str, monkeypatch: pytest.MonkeyPatch, identity: ManagedIdentity
) -> None:
    ids = f"clientId={identity.client_id}&tenantId={identity.tenant_id}"
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", f"{scheme}:///?{ids}")
    for hook in (WasbHook, AzureBaseHook):
        with pytest.raises(IdentityError, match="Write azure-workload-identity://"):
            hook.get_connection(conn_id)
    with pytest.raises(IdentityError, match="Write azure-workload-identity://"):
        AzureWorkloadIdentityHook("azure_wi").get_identity()


def test_a_path_whose_connection_cannot_be_used_says_what_troubleshooting_has_an_entry_for(
    connect: Connect, identity: ManagedIdentity
) -> None:
    try:
        from airflow.sdk import ObjectStoragePath
    except ImportError:  # Airflow 2.11
        from airflow.io.path import ObjectStoragePath

    connect("azure_wi", "azure_workload_identity", extra={"clientId": identity.client_id})
    path = ObjectStoragePath("abfs://data/x.txt", conn_id="azure_wi")
    with pytest.raises(ValueError, match="Must provide either a connection_string or account_name"):
        path.exists()


def test_an_incomplete_connection_says_so_before_a_stock_hook_guesses(connect: Connect) -> None:
    connect("azure_wi", "azure_workload_identity", extra={"clientId": "nonsense"})
    with pytest.raises(
        IdentityError, match=r"connection 'azure_wi'.*\n.*clientId is 'nonsense'.*\n.*tenantId is missing"
    ):
        WasbHook("azure_wi").get_conn()


class TestEndpoint:
    """The endpoint that an id names."""

    def test_it_is_the_host(self, connection: str) -> None:
        conn_id = at(connection, "https://acct.blob.core.windows.net")
        read = WasbHook.get_connection(conn_id)
        assert (read.conn_id, read.host) == (conn_id, "https://acct.blob.core.windows.net")

    def test_it_goes_where_the_hook_looks_for_it(self, connection: str) -> None:
        read = AzureCosmosDBHook.get_connection(at(connection, "https://acct.documents.azure.com:443/"))
        assert read.login == "https://acct.documents.azure.com:443"

    def test_it_overrules_the_connection_s_own(self, connect: Connect, identity: ManagedIdentity) -> None:
        own, named = "https://own.blob.core.windows.net", "https://named.blob.core.windows.net"
        connect("azure_wi", "azure_workload_identity", extra=identity.as_json(), host=own)
        assert WasbHook("azure_wi").get_conn().url.rstrip("/") == own
        assert WasbHook(at("azure_wi", named)).get_conn().url.rstrip("/") == named

    @pytest.mark.parametrize("conn_type", ["wasb", "azure"])
    def test_connections_of_other_types_have_none(self, conn_type: str, connect: Connect) -> None:
        connect("other", conn_type, extra={})
        with pytest.raises(AirflowNotFoundException, match=r"other@acct\.blob") as missing:
            WasbHook(at("other", "https://acct.blob.core.windows.net")).get_conn()
        assert isinstance(missing.value.__cause__, EndpointError)
        assert re.search(
            rf"'other' is of type '{conn_type}'.*expected type 'azure_workload", str(missing.value.__cause__)
        )

    @pytest.mark.parametrize("own", [None, "http"])
    def test_an_id_with_an_at_sign_is_looked_up_as_it_is(self, own: str | None, connect: Connect) -> None:
        connect("team@mail.example", "wasb", extra={}, login="team")
        if own:
            connect("team", own, extra={}, login="own")
        assert WasbHook.get_connection("team@mail.example").login == "team"

        async def read() -> Any:
            return await BaseHook.aget_connection("team@mail.example")

        if hasattr(BaseHook, "aget_connection"):
            assert asyncio.run(read()).login == "team"

    def test_where_there_is_no_such_connection_the_message_names_it(self) -> None:
        with pytest.raises(AirflowNotFoundException, match="`not_there`"):
            WasbHook.get_connection(at("not_there", "https://acct.blob.core.windows.net"))

    def test_a_rendered_template_is_understood(self, connection: str) -> None:
        read = WasbHook.get_connection(f"{connection}@https://acct.blob.core.windows.net/")
        assert read.host == "https://acct.blob.core.windows.net"

    def test_a_template_that_was_not_rendered_is_named(self, connection: str) -> None:
        with pytest.raises(EndpointError, match=r"{{ var.value.url }}.*not rendered"):
            WasbHook.get_connection(at(connection, "{{ var.value.url }}"))

    def test_it_never_changes_where_the_federated_token_is_sent(
        self, connection: str, workload: OfflineAzure, connect: Connect, identity: ManagedIdentity
    ) -> None:
        lure = {"authority": "https://127.0.0.1:1", "authority_host": "https://127.0.0.1:1"}
        connect("azure_wi", "azure_workload_identity", extra=identity.as_json() | lure)
        hook = AzureBaseHook(conn_id=at("azure_wi", "https://127.0.0.1:1"))
        assert hook.get_token(SCOPE).token
        assert [exchange.error_code for exchange in workload.entra.exchanges] == [None]

    def test_an_id_written_by_hand_is_checked_just_the_same(self, connection: str) -> None:
        with pytest.raises(EndpointError, match="http://acct"):
            WasbHook.get_connection(f"{connection}@http://acct.blob.core.windows.net")


class TestSigningIn:
    """Which credential stock hooks get."""

    def test_stock_hooks_share_one_credential(self, connection: str, workload: OfflineAzure) -> None:
        from azure.mgmt.storage import StorageManagementClient

        of_stock = AzureBaseHook(StorageManagementClient, connection).get_credential()
        assert of_stock is AzureWorkloadIdentityHook(connection).get_credential()

    def test_a_stock_connection_of_the_same_identity_keeps_its_default_credential(
        self, connect: Connect, connection: str, identity: ManagedIdentity, workload: OfflineAzure
    ) -> None:
        from azure.identity import DefaultAzureCredential

        extra = {
            "managed_identity_client_id": identity.client_id,
            "workload_identity_tenant_id": identity.tenant_id,
            "use_azure_identity_object": True,
        }
        connect("stock", "azure", extra=extra)
        AzureBaseHook(conn_id=connection).get_credential()
        assert type(AzureBaseHook(conn_id="stock").get_credential()) is DefaultAzureCredential

    def test_the_generic_hook_gives_tokens(
        self, connection: str, workload: OfflineAzure, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            token = AzureBaseHook(conn_id=connection).get_token(SCOPE).token
        assert token.count(".") == 2
        assert token not in caplog.text

    def test_a_client_of_the_sdk_s_first_generation_gets_what_it_takes(
        self, connection: str, workload: OfflineAzure, identity: ManagedIdentity
    ) -> None:
        class FirstGeneration:
            def __init__(self, credentials: Any, subscription_id: str) -> None:
                self.header = credentials.signed_session().headers["Authorization"]
                self.subscription_id = subscription_id

        client = AzureBaseHook(FirstGeneration, connection).get_conn()
        assert client.header.startswith("Bearer ey")
        assert client.subscription_id == identity.subscription_id


def test_postgres_gets_its_token_through_azure_conn_id(
    connection: str, connect: Connect, workload: OfflineAzure, identity: ManagedIdentity
) -> None:
    import jwt
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    extra = {"iam": True, "azure_conn_id": connection}
    conn_id = connect("database", "postgres", extra=extra, login="airflow", host="db.postgres.database.azure.com")
    hook = PostgresHook(postgres_conn_id=conn_id)
    login, token, port = hook.get_iam_token(hook.get_connection(conn_id))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (login, port) == ("airflow", 5432)
    assert (claims["aud"], claims["appid"]) == ("https://ossrdbms-aad.database.windows.net", identity.client_id)


def test_postgres_asks_for_the_plain_id(connection: str, connect: Connect) -> None:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    extra = {"iam": True, "azure_conn_id": at(connection, "https://db.postgres.database.azure.com")}
    conn_id = connect("database", "postgres", extra=extra, login="airflow", host="db.postgres.database.azure.com")
    hook = PostgresHook(postgres_conn_id=conn_id)
    with pytest.raises(EndpointError, match=rf"takes no endpoint. Use the plain id: '{connection}'"):
        hook.get_iam_token(hook.get_connection(conn_id))


def test_the_generic_hook_uses_the_endpoint_or_refuses_it(connection: str, workload: OfflineAzure) -> None:
    from azure.mgmt.storage import StorageManagementClient
    from azure.storage.blob import BlobServiceClient

    conn_id = at(connection, "https://acct.blob.core.windows.net")
    assert AzureBaseHook(BlobServiceClient, conn_id).get_conn().url == "https://acct.blob.core.windows.net/"
    with pytest.raises(ClientError, match="names an endpoint, and StorageManagementClient has no argument for one"):
        AzureBaseHook(StorageManagementClient, conn_id).get_conn()


def test_snowflake_s_way_to_a_token_leads_to_ours(
    connection: str, workload: OfflineAzure, identity: ManagedIdentity
) -> None:
    """The stock Snowflake hook asks the connection for its hook; its own packages are too many to install here."""
    import jwt
    from airflow.sdk import Connection

    token = Connection.get(connection).get_hook().get_token(SCOPE).token
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["aud"], claims["appid"]) == ("https://management.azure.com", identity.client_id)


def test_ten_hooks_of_five_services_make_one_exchange_per_scope(
    connection: str, workload: OfflineAzure, recorder: Recorder
) -> None:
    from airflow.providers.microsoft.azure.hooks.asb import AdminClientHook
    from airflow.providers.microsoft.azure.hooks.data_factory import AzureDataFactoryHook
    from airflow.providers.microsoft.azure.hooks.synapse import AzureSynapsePipelineHook
    from azure.mgmt.storage import StorageManagementClient

    recorder.answers = (NO_QUEUES, Answer("GET", {"value": []}))
    bus = at(connection, "https://acct.servicebus.windows.net")
    for _ in range(2):
        WasbHook(at(connection, workload.azurite.blob_url)).get_conn().get_account_information()
        list(AzureBaseHook(StorageManagementClient, connection).get_conn().storage_accounts.list())
        list(AzureDataFactoryHook(connection).get_conn().factories.list())
        list(AdminClientHook(azure_service_bus_conn_id=bus).get_conn().list_queues())
        AzureSynapsePipelineHook("https://acct.dev.azuresynapse.net", connection).get_conn().pipeline.get_pipeline("p")
    assert len([request for request in recorder.requests if request.claims]) == 8, "and two that reached Azurite"
    scopes = [exchange.scope for exchange in workload.entra.exchanges]
    assert sorted(scopes) == sorted(set(scopes)), "no scope twice"
    assert len(scopes) == 4, "storage, management (for two services), Service Bus, Synapse"
