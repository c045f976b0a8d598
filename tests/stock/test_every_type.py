"""Every connection type, by a request that reached a server with an access token of the right identity.

Of the stock Azure provider, the file system of abfs:// and the connection type wasb reach Azurite, which checks the
audience; all others reach a recorder. The hooks of other providers, and Key Vault as the secrets backend, reach servers
that validate the token. The table in the documentation is made from what these tests saw.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aiohttp
import jwt
import pytest
from azure.storage.blob import BlobServiceClient

from airflow_azure_wi import AzureWorkloadIdentityHook, at
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from dev._debian import UNIXODBC, install
from tests.access_tokens import DatabaseRoles
from tests.databricks_workspace import AUDIENCE as DATABRICKS
from tests.databricks_workspace import HOST as WORKSPACE
from tests.databricks_workspace import HTTP_PATH, DatabricksWorkspace
from tests.key_vault import AUDIENCE as KEY_VAULT
from tests.key_vault import KeyVault
from tests.mysql_server import MySqlServer
from tests.postgresql import PostgresqlServer
from tests.recorder import Recorder
from tests.stock import hook_table
from tests.stock.cases import CASES, Case
from tests.stock.conftest import Connect
from tests.stock.hook_table import AZURITE, NO_SERVER, REAL, RECORDER, STAND_IN, ServedHook
from tests.stock.test_graph_files import ANSWERS, CONTENTS, tokens_by_host

AZURE = "microsoft-azure"
STORAGE = "https://storage.azure.com"

GRAPH = "graph.microsoft.com"
SQL, AZURE_SQL = "acct.database.windows.net", "https://database.windows.net"

# The connection types of the stock provider 15.2, and those of other providers.
TYPES = {
    "databricks",
    "mysql",
    "odbc",
    "postgres",
    "adls",
    "azure",
    "azure_ai_agents",
    "azure_analysis_services",
    "azure_batch",
    "azure_compute",
    "azure_container_instance",
    "azure_container_registry",
    "azure_container_volume",
    "azure_cosmos",
    "azure_data_explorer",
    "azure_data_factory",
    "azure_data_lake",
    "azure_fileshare",
    "azure_service_bus",
    "azure_synapse",
    "msgraph",
    "powerbi",
    "wasb",
}


@pytest.fixture(scope="module")
def served() -> list[ServedHook]:
    return []


@pytest.fixture
def container(workload: OfflineAzure, connection: str) -> str:
    """The name of a new container in Azurite."""
    name = f"c{uuid4().hex}"
    hook = AzureWorkloadIdentityHook(connection)
    hook.get_client(BlobServiceClient, account_url=workload.azurite.blob_url).create_container(name)
    return name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_arrives_with_a_token_of_the_identity(
    case: Case,
    connection: str,
    recorder: Recorder,
    azure: OfflineAzure,
    identity: ManagedIdentity,
    served: list[ServedHook],
) -> None:
    azure.entra.register_resource("https://*.asazure.windows.net")
    recorder.answers = case.answers
    case.run(connection)
    tokens = {
        (request.host, claims["aud"], claims["appid"], claims["tid"])
        for request in recorder.requests
        if (claims := request.claims)
    }
    assert tokens == {(case.host, case.audience, identity.client_id, identity.tenant_id)}
    way = "async" if case.is_async else "sync"
    hook = f"hooks.{case.hook}"
    served.append(ServedHook(AZURE, case.connection_type, hook, way, case.host, RECORDER, case.audience))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_hooks_share_one_exchange(case: Case, connection: str, recorder: Recorder, azure: OfflineAzure) -> None:
    azure.entra.register_resource("https://*.asazure.windows.net")
    recorder.answers = case.answers
    for _ in range(2):
        case.run(connection)
    assert len(azure.entra.exchanges) == 1


def test_wasb_reaches_azurite(
    connection: str, container: str, workload: OfflineAzure, identity: ManagedIdentity, served: list[ServedHook]
) -> None:
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    hook = WasbHook(at(connection, workload.azurite.blob_url))
    hook.load_string("Hello", container, "greeting.txt")
    assert hook.read_file(container, "greeting.txt") == "Hello"
    assert hook.get_blobs_list_recursive(container) == ["greeting.txt"]
    served.append(ServedHook(AZURE, "wasb", "hooks.wasb.WasbHook", "sync", "Azurite", AZURITE, STORAGE))


def test_wasb_reaches_azurite_from_an_event_loop(
    connection: str, container: str, workload: OfflineAzure, served: list[ServedHook]
) -> None:
    from airflow.providers.microsoft.azure.hooks.wasb import WasbAsyncHook, WasbHook

    conn_id = at(connection, workload.azurite.blob_url)
    WasbHook(conn_id).load_string("Hello", container, "greeting.txt")

    async def look() -> bool:
        hook = WasbAsyncHook(conn_id)
        async with await hook.get_async_conn():
            return await hook.check_for_blob_async(container, "greeting.txt")

    assert asyncio.run(look()) is True
    assert len(workload.entra.exchanges) == 1, "the token that the container was made with is shared, too"
    served.append(ServedHook(AZURE, "wasb", "hooks.wasb.WasbAsyncHook", "async", "Azurite", AZURITE, STORAGE))


def test_object_storage_path_reads_and_writes_azurite(
    connection: str, container: str, workload: OfflineAzure, served: list[ServedHook]
) -> None:
    try:
        from airflow.sdk import ObjectStoragePath
    except ImportError:  # Airflow 2.11
        from airflow.io.path import ObjectStoragePath

    for scheme in ("abfs", "abfss"):
        path = ObjectStoragePath(
            f"{scheme}://{container}/folder/{scheme}.txt", conn_id=at(connection, workload.azurite.blob_url)
        )
        path.write_text("Hello")
        assert path.read_text() == "Hello"
        assert path.exists()
        assert [found.name for found in path.parent.iterdir() if found.name == path.name] == [path.name]
    # The type that the file system of the stock provider is documented for.
    served.append(ServedHook(AZURE, "wasb", "fs.adls.get_fs", "sync", "Azurite", AZURITE, STORAGE))


def test_the_file_system_of_microsoft_graph(
    connection: str, recorder: Recorder, identity: ManagedIdentity, served: list[ServedHook]
) -> None:
    from airflow.providers.microsoft.azure.fs.msgraph import get_fs
    from msgraphfs import MSGDriveFS

    recorder.answers = ANSWERS
    assert get_fs(connection, {"drive_id": "d"}).cat_file("reports/report.txt") == b"Hello"
    # It keeps its HTTP client, and with that the proxy and the certificates of an offline Azure.
    MSGDriveFS.clear_instance_cache()
    assert tokens_by_host(recorder) == {(GRAPH, f"https://{GRAPH}", identity.client_id), (CONTENTS, None, None)}
    served.append(ServedHook(AZURE, "msgraph", "fs.msgraph.get_fs", "sync", GRAPH, RECORDER, f"https://{GRAPH}"))


class TestOtherProviders:
    """Connections of their own types, which name the one to sign in with as azure_conn_id."""

    ROLE, DATABASE = "table-identity", "hooks"

    @pytest.fixture
    def workspace(self, workload: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabricksWorkspace]:
        # The provider's sessions read no proxy from the environment, and this is how the stand-in is reached.
        monkeypatch.setitem(aiohttp.ClientSession.__init__.__kwdefaults__, "trust_env", True)
        workspace = DatabricksWorkspace(workload)
        with workload.serving(workspace.app, WORKSPACE):
            yield workspace

    def test_databricks(
        self,
        connection: str,
        connect: Connect,
        workspace: DatabricksWorkspace,
        identity: ManagedIdentity,
        served: list[ServedHook],
    ) -> None:
        from airflow.providers.databricks.hooks.databricks import DatabricksHook
        from airflow.providers.databricks.hooks.databricks_sql import DatabricksSqlHook

        conn_id = connect("dbx", "databricks", extra={"azure_conn_id": connection}, host=f"https://{WORKSPACE}")

        async def state() -> Any:
            async with DatabricksHook(conn_id) as hook:
                return await hook.a_get_run_state(7)

        assert DatabricksHook(conn_id).find_job_id_by_name("nightly") == 42
        assert asyncio.run(state()).is_successful
        hook = DatabricksSqlHook(conn_id, http_path=HTTP_PATH, enable_telemetry=False)
        assert [tuple(row) for row in hook.get_records("select 42")] == [(42,)]
        assert workspace.client_ids() == {identity.client_id}
        assert not workspace.refusals
        served += [
            ServedHook("databricks", "databricks", f"hooks.{hook}", way, WORKSPACE, STAND_IN, DATABRICKS)
            for hook, way in (
                ("databricks.DatabricksHook", "sync"),
                ("databricks.DatabricksHook", "async"),
                ("databricks_sql.DatabricksSqlHook", "sync"),
            )
        ]

    def test_postgres(
        self,
        connection: str,
        connect: Connect,
        workload: OfflineAzure,
        postgresql: PostgresqlServer,
        identity: ManagedIdentity,
        served: list[ServedHook],
    ) -> None:
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        postgresql.create_role(self.ROLE, identity, self.DATABASE)
        extra = {"iam": True, "azure_conn_id": connection, "sslmode": "require"}
        conn_id = connect("database", "postgres", extra=extra, **self._at(postgresql.port))
        assert [tuple(row) for row in PostgresHook(conn_id).get_records("SELECT current_user")] == [(self.ROLE,)]
        self._signed_in(postgresql.roles, identity)
        served.append(
            ServedHook(
                "postgres",
                "postgres",
                "hooks.postgres.PostgresHook",
                "sync",
                "PostgreSQL",
                REAL,
                DatabaseRoles.AUDIENCE,
            )
        )

    def test_mysql(
        self,
        connection: str,
        connect: Connect,
        workload: OfflineAzure,
        mysql: MySqlServer,
        identity: ManagedIdentity,
        served: list[ServedHook],
    ) -> None:
        from airflow.providers.mysql.hooks.mysql import MySqlHook

        mysql.create_user(self.ROLE, identity, self.DATABASE)
        verified = {"ssl_verify_identity": True, "ssl_ca": workload.environment()["SSL_CERT_FILE"]}
        extra = {"client": "mysql-connector-python", "azure_conn_id": connection, **verified}
        conn_id = connect("database", "mysql", extra=extra, **self._at(mysql.port))
        assert MySqlHook(conn_id).get_records("SELECT CURRENT_USER()") == [(f"{self.ROLE}@%",)]
        self._signed_in(mysql.roles, identity)
        served.append(
            ServedHook("mysql", "mysql", "hooks.mysql.MySqlHook", "sync", "MariaDB", REAL, DatabaseRoles.AUDIENCE)
        )

    def _at(self, port: int) -> dict[str, object]:
        return {"host": "localhost", "port": port, "login": self.ROLE, "schema": self.DATABASE}

    def _signed_in(self, roles: DatabaseRoles, identity: ManagedIdentity) -> None:
        seen = roles.sign_ins[-1]
        assert (seen.role, seen.refused, seen.claims["appid"]) == (self.ROLE, None, identity.client_id)

    def test_odbc(
        self,
        connection: str,
        connect: Connect,
        workload: OfflineAzure,
        identity: ManagedIdentity,
        served: list[ServedHook],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No driver is here: what pyodbc would get is looked at, as in tests/contract/test_odbc.py."""
        install(UNIXODBC)
        from airflow.providers.odbc.hooks import odbc

        given: dict[int, bytes] = {}

        def connect_to_nothing(_: str, attrs_before: dict[int, bytes]) -> sqlite3.Connection:
            given.update(attrs_before)
            return sqlite3.connect(":memory:")

        monkeypatch.setattr(odbc, "connect", connect_to_nothing)
        odbc.OdbcHook(connect("database", "odbc", extra={"azure_conn_id": connection}, host=SQL)).get_conn()
        claims = jwt.decode(given[1256][4:].decode("utf-16-le"), options={"verify_signature": False})
        assert (claims["aud"], claims["appid"]) == (AZURE_SQL, identity.client_id)
        served.append(ServedHook("odbc", "odbc", "hooks.odbc.OdbcHook", "sync", SQL, NO_SERVER, AZURE_SQL))


def test_key_vault_as_the_secrets_backend(workload: OfflineAzure, served: list[ServedHook]) -> None:
    from airflow.providers.microsoft.azure.secrets.key_vault import AzureKeyVaultBackend

    identity, host = workload.identity, "table-vault.vault.azure.net"
    vault = KeyVault(workload, identity)
    vault.secrets["airflow-variables-greeting"] = "hello from the vault"
    with workload.serving(vault.app, host):
        backend = AzureKeyVaultBackend(
            vault_url=f"https://{host}",
            managed_identity_client_id=identity.client_id,
            workload_identity_tenant_id=identity.tenant_id,
        )
        assert backend.get_variable("greeting") == "hello from the vault"
    name = "secrets.key_vault.AzureKeyVaultBackend"
    served.append(ServedHook(AZURE, "none: settings", name, "sync", host, STAND_IN, KEY_VAULT))


def test_the_table_in_the_docs_is_what_was_served(served: list[ServedHook]) -> None:
    table, is_whole = hook_table.written(served), {row.connection_type for row in served} >= TYPES
    if hook_table.is_to_be_written():
        assert is_whole, "the table is made from a run of all tests of this file"
        hook_table.write(table)
    on_the_page = hook_table.rows(hook_table.on_the_page())
    assert set(hook_table.rows(table)) <= set(on_the_page), "run ./dev/nox -s reference"
    if is_whole:
        assert hook_table.rows(table) == on_the_page, "run ./dev/nox -s reference"
