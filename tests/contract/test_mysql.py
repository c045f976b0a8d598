"""Connections of type mysql that name an azure_conn_id, on a MariaDB that checks each access token.

With mysql-connector-python. tests/integration/test_mysqlclient.py does the same with mysqlclient, which has no wheels.
"""

import json
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.mysql.hooks.mysql import MySqlHook
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from airflow_azure_wi import at
from airflow_azure_wi.errors import ClientError, IdentityError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.mysql_server import MySqlServer, server_without_tls

USER, DATABASE = "sales-identity", "sales"
CONNECTOR = {"client": "mysql-connector-python"}

Define = Callable[..., MySqlHook]


@pytest.fixture(scope="module", autouse=True)
def _user(mysql: MySqlServer, running_azure: OfflineAzure) -> None:
    mysql.create_user(USER, running_azure.identity, DATABASE)


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, workload: OfflineAzure, identity: ManagedIdentity) -> Define:
    """Define the connection of an identity, azure_wi, and one of type mysql with an extra; return its hook."""

    def define_connection(conn_id: str, conn_type: str, extra: dict[str, Any], **fields: Any) -> None:
        connection = {"conn_type": conn_type, "extra": extra, **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    def define_database(extra: dict[str, Any], **fields: Any) -> MySqlHook:
        define_connection("sales", "mysql", extra, **{"host": "localhost", "login": USER, "schema": DATABASE} | fields)
        return MySqlHook(mysql_conn_id="sales")

    define_connection("azure_wi", "azure_workload_identity", identity.as_json())
    return define_database


@pytest.fixture
def verified(workload: OfflineAzure) -> dict[str, Any]:
    """The extra of a connection that has the server's certificate checked."""
    trusted = workload.environment()["SSL_CERT_FILE"]
    return CONNECTOR | {"azure_conn_id": "azure_wi", "ssl_verify_identity": True, "ssl_ca": trusted}


@pytest.mark.parametrize("more", [{}, {"iam": True}], ids=["plain", "iam"])
def test_the_hook_signs_in_with_a_token(
    more: dict[str, Any],
    define: Define,
    verified: dict[str, Any],
    mysql: MySqlServer,
    identity: ManagedIdentity,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mysql.roles.accept(USER, identity)
    hook = define(verified | more, port=mysql.port)
    with caplog.at_level(logging.DEBUG):
        assert hook.get_records("SELECT CURRENT_USER(), 42") == [(f"{USER}@%", 42)]
    seen = mysql.roles.sign_ins[-1]
    assert (seen.role, seen.refused, seen.claims["appid"]) == (USER, None, identity.client_id)
    assert seen.claims["aud"] == mysql.roles.AUDIENCE
    assert "eyJ" not in caplog.text + hook.get_uri()
    assert "azure_conn_id" not in hook.get_uri()


def test_each_connection_of_its_engine_gets_one(
    define: Define,
    verified: dict[str, Any],
    mysql: MySqlServer,
    identity: ManagedIdentity,
    workload: OfflineAzure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mysql.roles.accept(USER, identity)
    before = len(mysql.roles.sign_ins)
    with caplog.at_level(logging.DEBUG):
        engine = define(verified, port=mysql.port).get_sqlalchemy_engine({"poolclass": NullPool})
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(text("SELECT CURRENT_USER()")).scalar() == f"{USER}@%"
    assert [seen.refused for seen in mysql.roles.sign_ins[before:]] == [None, None]
    assert len(workload.entra.exchanges) == 1
    assert "eyJ" not in caplog.text + repr(engine.url)


def test_a_user_of_another_identity_is_refused_by_the_server(
    define: Define, verified: dict[str, Any], mysql: MySqlServer, running_azure: OfflineAzure
) -> None:
    mysql.roles.accept(USER, running_azure.identity)
    with pytest.raises(Exception, match="Access denied for user") as raised:
        define(verified, port=mysql.port).get_conn()
    assert mysql.roles.sign_ins[-1].refused == "the token is for another principal than the role"
    assert "eyJ" not in str(raised.value)


@pytest.mark.parametrize(
    ("azure_conn_id", "problem"),
    [
        ("not_there", "there is no connection 'not_there'"),
        ("sales", "connection 'sales' is of type 'mysql'"),
        (at("azure_wi", "https://acct.mysql.database.azure.com"), "is not a plain id"),
        (["azure_wi"], "a JSON array is not a plain id"),
    ],
)
def test_an_id_that_names_no_identity_is_an_error_that_names_the_setting(
    azure_conn_id: Any, problem: str, define: Define, verified: dict[str, Any]
) -> None:
    with pytest.raises(IdentityError) as raised:
        define(verified | {"azure_conn_id": azure_conn_id}).get_conn()
    said = str(raised.value)
    assert said.startswith("azure_conn_id in the extra of connection 'sales' does not describe a workload identity")
    assert problem in said


class Recorder(ModuleType):
    """Stands for MySQLdb: keeps what it is called with."""

    def __init__(self, name: str = "MySQLdb") -> None:
        super().__init__(name)
        self.arguments: dict[str, Any] = {}

    def connect(self, **arguments: Any) -> None:
        self.arguments = arguments


@pytest.fixture
def mysqldb(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "MySQLdb", recorder)
    return recorder


@pytest.mark.parametrize("more", [{}, {"iam": True}], ids=["plain", "iam"])
def test_mysqlclient_gets_a_token_that_is_not_seen(more: dict[str, Any], define: Define, mysqldb: Recorder) -> None:
    asked = {"azure_conn_id": "azure_wi", "ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": "/ca.pem"}}
    define(asked | more, port=3307).get_conn()
    arguments = mysqldb.arguments
    assert arguments["passwd"].startswith("eyJ")
    assert "eyJ" not in repr(arguments)
    assert (arguments["ssl_mode"], arguments["ssl"], arguments["port"]) == (
        "VERIFY_IDENTITY",
        {"ca": "/ca.pem"},
        3307,
    )


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"ssl": {"ca": "/ca.pem"}},
        {"ssl_mode": "REQUIRED"},
        {"ssl_mode": "PREFERRED"},
        CONNECTOR,
        CONNECTOR | {"ssl_ca": "/ca.pem", "ssl_verify_cert": True},
        CONNECTOR | {"ssl_ca": "/ca.pem", "ssl_verify_identity": "true"},
        CONNECTOR | {"ssl_verify_identity": True, "ssl_disabled": True},
    ],
    ids=str,
)
def test_without_a_check_of_the_server_there_is_no_token(
    extra: dict[str, Any], define: Define, mysqldb: Recorder, workload: OfflineAzure
) -> None:
    hook = define(extra | {"azure_conn_id": "azure_wi"})
    name = "ssl_verify_identity" if "client" in extra else "ssl_mode"
    with pytest.raises(ClientError, match=f"^{name} in the extra of connection 'sales' is .*server's certificate has"):
        hook.get_conn()
    assert workload.entra.exchanges == []


def test_pymysql_is_no_mysqlclient(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", Recorder("pymysql"))
    with pytest.raises(ClientError, match="'sales' needs mysqlclient, and MySQLdb is PyMySQL here"):
        define({"azure_conn_id": "azure_wi", "ssl_mode": "VERIFY_IDENTITY"}).get_conn()


def test_an_engine_of_pymysql_gets_none(define: Define, verified: dict[str, Any]) -> None:
    hook = define(verified | {"client": "pymysql"})
    hook.get_uri = lambda: "mysql+pymysql://localhost"  # as providers since 6.5 say
    with pytest.raises(ClientError, match="'sales' needs another client than 'pymysql'"):
        hook.get_sqlalchemy_engine().connect()


def test_a_server_without_tls_gets_no_token(define: Define, verified: dict[str, Any]) -> None:
    with server_without_tls() as (port, received), pytest.raises(Exception, match=r"SSL|insecure"):
        define(verified, port=port).get_conn()
    assert b"eyJ" not in b"".join(received)


def test_without_an_id_nothing_changes(define: Define, mysqldb: Recorder, workload: OfflineAzure) -> None:
    hook = define({"charset": "utf8"}, password="secret")
    hook.get_conn()
    assert mysqldb.arguments == {
        "user": USER,
        "passwd": "secret",
        "host": "localhost",
        "db": DATABASE,
        "port": 3306,
        "charset": "utf8",
        "use_unicode": True,
    }
    assert hook.get_uri() == f"mysql://{USER}:secret@localhost/{DATABASE}?charset=utf8"
    assert workload.entra.exchanges == []
