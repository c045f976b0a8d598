"""Connections of type odbc that name an azure_conn_id. No driver is here: what pyodbc would get is looked at."""

import json
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from airflow_azure_wi import at
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from dev._debian import UNIXODBC, install

AUDIENCE = "https://database.windows.net"
SQL_COPT_SS_ACCESS_TOKEN = 1256
GOVERNMENT = "AzureUSGovernment"
HOST = "acct.database.windows.net"

Define = Callable[..., str]


@pytest.fixture(scope="session")
def odbc() -> Any:
    """The module of the stock hook."""
    install(UNIXODBC)
    from airflow.providers.odbc.hooks import odbc

    return odbc


class Pyodbc:
    """Stands for pyodbc.connect: keeps what it is given, and opens SQLite."""

    def __init__(self) -> None:
        self.connection_string = ""
        self.arguments: dict[str, Any] = {}
        self.calls = 0

    def connect(self, connection_string: str, /, **arguments: Any) -> "Opened":
        self.connection_string, self.arguments = connection_string, arguments
        self.calls += 1
        return sqlite3.connect(":memory:", factory=Opened)

    def claims(self) -> dict[str, Any]:
        """Return the claims of the access token, as the driver reads it: a length in bytes and UTF-16."""
        packed = self.arguments["attrs_before"][SQL_COPT_SS_ACCESS_TOKEN]
        assert int.from_bytes(packed[:4], "little") == len(packed) - 4
        claims: dict[str, Any] = jwt.decode(packed[4:].decode("utf-16-le"), options={"verify_signature": False})
        return claims


class Opened(sqlite3.Connection):
    """A connection whose rows say what their columns are, as those of pyodbc do."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.row_factory = lambda cursor, row: Row(row, cursor.description)


class Row(tuple):
    def __new__(cls, row: Any, description: Any) -> "Row":
        made = super().__new__(cls, row)
        made.cursor_description = description
        return made


@pytest.fixture
def pyodbc(odbc: Any, monkeypatch: pytest.MonkeyPatch) -> Pyodbc:
    stand_in = Pyodbc()
    monkeypatch.setattr(odbc, "connect", stand_in.connect)
    return stand_in


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, workload: OfflineAzure, identity: ManagedIdentity) -> Define:
    """Define the connection of an identity, azure_wi, and one of type odbc with an extra."""

    def define_connection(conn_id: str, conn_type: str, extra: dict[str, Any], **fields: Any) -> str:
        connection = {"conn_type": conn_type, "extra": extra, **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    define_connection("azure_wi", "azure_workload_identity", identity.as_json())
    return lambda **extra: define_connection("sales", "odbc", extra, host=HOST, schema="sales")


def test_the_driver_gets_an_access_token_and_no_name_of_a_connection(
    define: Define, odbc: Any, pyodbc: Pyodbc, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    conn_id = define(azure_conn_id="azure_wi", Encrypt="yes", connect_kwargs={"attrs_before": {"103": "5"}})
    hook = odbc.OdbcHook(odbc_conn_id=conn_id, driver="ODBC Driver 18 for SQL Server")
    with caplog.at_level(logging.DEBUG):
        assert [tuple(row) for row in hook.get_records("SELECT 42")] == [(42,)]
    claims = pyodbc.claims()
    assert (claims["aud"], claims["appid"]) == (AUDIENCE, identity.client_id)
    assert pyodbc.arguments["attrs_before"][103] == 5, "what the connection itself sets is kept"
    assert pyodbc.connection_string == (
        f"DRIVER={{ODBC Driver 18 for SQL Server}};SERVER={HOST};DATABASE=sales;Encrypt=yes;"
    )
    assert "azure_conn_id" not in hook.get_uri()
    assert "eyJ" not in caplog.text
    assert "e\\x00y\\x00J" not in repr(hook.connect_kwargs)


def test_engines_of_sqlalchemy_get_one_for_each_connection(
    define: Define, odbc: Any, pyodbc: Pyodbc, identity: ManagedIdentity, workload: OfflineAzure
) -> None:
    hook = odbc.OdbcHook(odbc_conn_id=define(azure_conn_id="azure_wi"), sqlalchemy_scheme="sqlite")
    engine = hook.get_sqlalchemy_engine({"poolclass": NullPool})
    for calls in (1, 2):
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 42")).scalar() == 42
        assert (pyodbc.calls, pyodbc.claims()["appid"]) == (calls, identity.client_id)
    assert "azure_conn_id" not in pyodbc.connection_string
    assert len(workload.entra.exchanges) == 1


def test_another_cloud_has_another_audience(
    define: Define, odbc: Any, pyodbc: Pyodbc, identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn_id = define(azure_conn_id="azure_wi")
    in_cloud = {"conn_type": "azure_workload_identity", "extra": identity.as_json() | {"cloud_environment": GOVERNMENT}}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(in_cloud))
    odbc.OdbcHook(odbc_conn_id=conn_id).get_conn()
    assert pyodbc.claims()["aud"] == "https://database.usgovcloudapi.net"


@pytest.mark.parametrize(
    ("azure_conn_id", "problem"),
    [
        ("not_there", "there is no connection 'not_there'"),
        ("sales", "connection 'sales' is of type 'odbc'"),
        (at("azure_wi", f"https://{HOST}"), f"'azure_wi@{HOST}' is not a plain id"),
        (["azure_wi"], "a JSON array is not a plain id"),
    ],
)
def test_an_id_that_names_no_identity_is_an_error_that_names_the_setting(
    azure_conn_id: Any, problem: str, define: Define, odbc: Any, pyodbc: Pyodbc
) -> None:
    hook = odbc.OdbcHook(odbc_conn_id=define(azure_conn_id=azure_conn_id))
    with pytest.raises(IdentityError) as raised:
        hook.get_conn()
    said = str(raised.value)
    assert said.startswith("azure_conn_id in the extra of connection 'sales' does not describe a workload identity")
    assert problem in said
    assert "expected the plain id of a connection of type 'azure_workload_identity'" in said
    assert pyodbc.calls == 0


@pytest.mark.parametrize("extra", [{}, {"azure_conn_id": ""}, {"azure_conn_id": None}])
def test_without_an_id_nothing_changes(
    extra: dict[str, Any], define: Define, odbc: Any, pyodbc: Pyodbc, workload: OfflineAzure
) -> None:
    hook = odbc.OdbcHook(odbc_conn_id=define(**extra, Encrypt="yes", connect_kwargs={"attrs_before": {"103": "5"}}))
    hook.get_conn()
    assert pyodbc.connection_string == f"SERVER={HOST};DATABASE=sales;Encrypt=yes;"
    assert pyodbc.arguments == {"attrs_before": {103: 5}}
    assert workload.entra.exchanges == []


def test_pyodbc_itself_takes_the_token(define: Define, odbc: Any) -> None:
    """It sets the attribute before it looks for the driver, which is not here."""
    hook = odbc.OdbcHook(odbc_conn_id=define(azure_conn_id="azure_wi"), driver="ODBC Driver 18 for SQL Server")
    with pytest.raises(Exception, match="Can't open lib 'ODBC Driver 18 for SQL Server'"):
        hook.get_conn()
