"""A connection of type mysql with mysqlclient, which is built here: there are no wheels of it for Linux."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.mysql.hooks.mysql import MySqlHook
from sqlalchemy import text

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from dev._airflows import MAIN
from dev._debian import GCC, LIBMARIADB, PKG_CONFIG, PYTHON_HEADERS, install
from tests.mysql_server import MySqlServer, server_without_tls

USER, DATABASE = "orders-identity", "orders"

Define = Callable[..., MySqlHook]


@pytest.fixture(scope="module", autouse=True)
def _mysqlclient(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Build it for this process, at its pinned version."""
    install(GCC, LIBMARIADB, PKG_CONFIG, PYTHON_HEADERS)
    [version] = re.findall(r"^mysqlclient==([\d.]+)", MAIN.pins.read_text(), re.MULTILINE)
    folder = str(tmp_path_factory.mktemp("mysqlclient"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--target", folder]
    subprocess.run([*pip, f"mysqlclient=={version}"], check=True)
    sys.path.append(folder)


@pytest.fixture(scope="module", autouse=True)
def _user(mysql: MySqlServer, running_azure: OfflineAzure) -> None:
    mysql.create_user(USER, running_azure.identity, DATABASE)


@pytest.fixture
def define(
    monkeypatch: pytest.MonkeyPatch, workload: OfflineAzure, identity: ManagedIdentity, mysql: MySqlServer
) -> Define:
    """Define a connection of type mysql at a port that names that of an identity; return its hook."""
    mysql.roles.accept(USER, identity)
    trusted = {"ca": workload.environment()["SSL_CERT_FILE"]}

    def define_database(port: int, ssl_mode: str) -> MySqlHook:
        extra = {"azure_conn_id": "azure_wi", "ssl_mode": ssl_mode, "ssl": trusted}
        fields: dict[str, Any] = {"host": "127.0.0.1", "port": port, "login": USER, "schema": DATABASE}
        monkeypatch.setenv("AIRFLOW_CONN_ORDERS", json.dumps({"conn_type": "mysql", "extra": extra, **fields}))
        return MySqlHook(mysql_conn_id="orders")

    connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", json.dumps(connection))
    return define_database


@pytest.mark.parametrize("ssl_mode", ["VERIFY_CA", "VERIFY_IDENTITY"])
def test_the_hook_and_its_engine_sign_in_with_a_token(ssl_mode: str, define: Define, mysql: MySqlServer) -> None:
    before = len(mysql.roles.sign_ins)
    hook = define(mysql.port, ssl_mode)
    assert hook.get_records("SELECT CURRENT_USER()") == ((f"{USER}@%",),)
    with hook.get_sqlalchemy_engine().connect() as connection:
        assert connection.execute(text("SELECT CURRENT_USER()")).scalar() == f"{USER}@%"
    assert [seen.refused for seen in mysql.roles.sign_ins[before:]] == [None, None]


@pytest.mark.parametrize("ssl_mode", ["VERIFY_CA", "VERIFY_IDENTITY"])
def test_a_server_without_tls_gets_no_token(ssl_mode: str, define: Define) -> None:
    with server_without_tls() as (port, received), pytest.raises(Exception, match="SSL is required"):
        define(port, ssl_mode).get_conn()
    assert b"eyJ" not in b"".join(received)
