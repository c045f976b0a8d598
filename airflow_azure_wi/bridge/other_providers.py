"""Replacements for hooks of other providers: Databricks, MySQL, ODBC, PostgreSQL and Snowflake.

Each is called with the original function and the arguments of the call. Connections of these hooks have types of their
own, and name the one to sign in with in their extra, as ``azure_conn_id``.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge.credentials import SignIn, sign_in_of
from airflow_azure_wi.endpoints import has_endpoint, split
from airflow_azure_wi.errors import ClientError, EndpointError, IdentityError
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE
from airflow_azure_wi.redaction import quoted

# The extra in which connections of other providers name the one to sign in with.
AZURE_CONN_ID = "azure_conn_id"

# The application of Azure Databricks, the same in all clouds:
# https://github.com/databricks/databricks-sdk-py/blob/main/databricks/sdk/environments.py
DATABRICKS_SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"

# The attribute of a connection that holds an access token: its length in bytes, and the token in UTF-16.
# https://learn.microsoft.com/sql/connect/odbc/using-azure-active-directory
SQL_COPT_SS_ACCESS_TOKEN = 1256


class MySqlClient(NamedTuple):
    """A client library of MySQL, as the stock hook uses it.

    :param options: the method of the hook that makes the arguments of its ``connect``.
    :param password: the argument for the password.
    :param verification: the argument that has the server's certificate checked, and the values of it that do.
    :param example: what to write into the extra of a connection.
    """

    options: str
    password: str
    verification: tuple[str, tuple[object, ...]]
    example: str


# By the name of SQLAlchemy's driver. With less than these arguments, both libraries send a password in clear text to
# whoever offers no TLS: mysqlclient on MariaDB's client library with ssl_mode=REQUIRED, and the C extension of
# mysql-connector-python with ssl_verify_cert (measured with mysqlclient 2.2.8 and 2.3.2 on Connector/C 3.3.20, and with
# mysql-connector-python 9.1.0).
MYSQL_CLIENTS = {
    "mysqldb": MySqlClient(
        "_get_conn_config_mysql_client",
        "passwd",
        ("ssl_mode", ("VERIFY_IDENTITY", "VERIFY_CA")),
        '{"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": "/etc/ssl/certs/ca-certificates.crt"}}',
    ),
    "mysqlconnector": MySqlClient(
        "_get_conn_config_mysql_connector_python",
        "password",
        ("ssl_verify_identity", (True,)),
        '{"ssl_verify_identity": true, "ssl_ca": "/etc/ssl/certs/ca-certificates.crt"}',
    ),
}


def postgres_token(original: Any, hook: Any, connection: Any) -> Any:
    """Get the token; explain an id that names no identity, or has an endpoint."""
    azure_conn_id = connection.extra_dejson.get(AZURE_CONN_ID)
    with _expecting_azure_conn_id(connection, azure_conn_id), _plain_id_expected(azure_conn_id):
        try:
            return original(hook, connection)
        except (AttributeError, ImportError):
            # The original asks the hook of whatever connection it finds for a token. Where it finds none, it fails in
            # Airflow 3.0 by an import that only a task can do.
            named = airflow_compat.BaseHook.get_connection(azure_conn_id)
            if named.conn_type != STOCK_CONNECTION_TYPE:
                _sign_in_expected_of(connection, named)
            raise


def snowflake_token(original: Any, hook: Any, azure_conn_id: str) -> Any:
    """Get the token; explain an id with an endpoint."""
    with _plain_id_expected(azure_conn_id):
        return original(hook, azure_conn_id)


def databricks_token(original: Any, hook: Any, raise_error: bool = False) -> Any:
    """Return an access token for Databricks."""
    sign_in = _databricks_sign_in(hook)
    return original(hook, raise_error) if sign_in is None else _token(sign_in, DATABRICKS_SCOPE)


async def async_databricks_token(original: Any, hook: Any, raise_error: bool = False) -> Any:
    """Return an access token for Databricks."""
    sign_in = await _async_databricks_sign_in(hook)
    return await (original(hook, raise_error) if sign_in is None else _async_token(sign_in, DATABRICKS_SCOPE))


def azure_token(original: Any, hook: Any, resource: str) -> Any:
    """Return an access token for another resource, which may end with a slash."""
    sign_in = _databricks_sign_in(hook)
    return original(hook, resource) if sign_in is None else _token(sign_in, f"{resource}/.default")


async def async_azure_token(original: Any, hook: Any, resource: str) -> Any:
    """Return an access token for another resource, which may end with a slash."""
    sign_in = await _async_databricks_sign_in(hook)
    return await (original(hook, resource) if sign_in is None else _async_token(sign_in, f"{resource}/.default"))


def databricks_sql_options(original: Any, hook: Any) -> Any:
    """Return the extras that the SQL connector gets as arguments: none that describe an identity."""
    if sign_in_of(hook.databricks_conn):
        return {}
    return {name: value for name, value in original(hook).items() if name != AZURE_CONN_ID}


def odbc_connect_kwargs(original: Any, hook: Any) -> Any:
    """Return the arguments of ``pyodbc.connect``, with an access token where the connection has ``azure_conn_id``.

    The original makes integers of all attributes, so that the token can be in no setting.
    """
    arguments = original(hook)
    azure_conn_id = _azure_conn_id_of(hook.connection)
    if azure_conn_id is None:
        return arguments
    sign_in = _sign_in_named_by(hook.connection, azure_conn_id)
    token = _token(sign_in, f"{sign_in.identity.cloud.sql_resource}/.default").encode("utf-16-le")
    attribute = {SQL_COPT_SS_ACCESS_TOKEN: _HiddenBytes(len(token).to_bytes(4, "little") + token)}
    return arguments | {"attrs_before": arguments.get("attrs_before", {}) | attribute}


def odbc_connection_string(original: Any, hook: Any) -> Any:
    """Return the connection string without ``azure_conn_id``, which means nothing to a driver."""
    connection_string, extra = original(hook), hook.connection_extra
    if AZURE_CONN_ID not in extra:
        return connection_string
    return connection_string.replace(f"{AZURE_CONN_ID}={extra[AZURE_CONN_ID]};", "", 1)


def mysqlclient_arguments(original: Any, hook: Any, connection: Any) -> Any:
    """Return the arguments of ``MySQLdb.connect``, with an access token where the connection has ``azure_conn_id``."""
    return _with_mysql_token(original(hook, connection), connection, MYSQL_CLIENTS["mysqldb"])


def mysql_connector_arguments(original: Any, hook: Any, connection: Any) -> Any:
    """Return the arguments of ``mysql.connector.connect``, likewise."""
    arguments = _with_mysql_token(original(hook, connection), connection, MYSQL_CLIENTS["mysqlconnector"])
    if _azure_conn_id_of(connection) is None:
        return arguments
    logger = logging.getLogger("mysql.connector")
    if logger.isEnabledFor(logging.DEBUG):
        logger.setLevel(logging.INFO)  # its Python implementation logs passwords
    # Without this, its C extension refuses to send a password in clear text.
    return arguments | {"auth_plugin": "mysql_clear_password"}


def mysql_iam_token(original: Any, hook: Any, connection: Any) -> Any:
    """Return no token of AWS, which ``iam`` in the extra asks for, where the connection has ``azure_conn_id``."""
    return original(hook, connection) if _azure_conn_id_of(connection) is None else ("", connection.port or 3306)


def mysql_uri(original: Any, hook: Any) -> Any:
    """Return the URI, which has no token, without ``azure_conn_id`` and ``iam``, which mean nothing to a driver."""
    uri = original(hook)
    if _azure_conn_id_of(hook.connection) is None:
        return uri
    address, _, query = uri.partition("?")
    names = (f"{AZURE_CONN_ID}=", "iam=")
    return "?".join(filter(None, (address, "&".join(part for part in query.split("&") if not part.startswith(names)))))


def sql_engine(original: Any, hook: Any, engine_kwargs: Any = None) -> Any:
    """Return the engine; that of MySQL asks for an access token for each connection that it opens."""
    engine = original(hook, engine_kwargs)
    if getattr(hook, "conn_type", None) != "mysql" or _azure_conn_id_of(hook.connection) is None:
        return engine
    from sqlalchemy import event

    def before_connecting(dialect: Any, _: Any, __: Any, arguments: dict[str, Any]) -> None:
        client = MYSQL_CLIENTS.get(dialect.driver)
        if client is None:
            raise ClientError(
                f"{AZURE_CONN_ID} in the extra of connection {quoted(hook.connection.conn_id)} needs another client "
                f"than {quoted(dialect.driver)}: mysqlclient, or mysql-connector-python."
            )
        options = getattr(hook, client.options)(hook.connection)
        for name in ("passwd", "password"):
            arguments.pop(name, None)
        is_for_sign_in = ("ssl", client.password, "auth_plugin")
        arguments.update({name: value for name, value in options.items() if name.startswith(is_for_sign_in)})

    event.listen(engine, "do_connect", before_connecting)
    return engine


def _with_mysql_token(arguments: dict[str, Any], connection: Any, client: MySqlClient) -> dict[str, Any]:
    azure_conn_id = _azure_conn_id_of(connection)
    if azure_conn_id is None:
        return arguments
    sign_in = _sign_in_named_by(connection, azure_conn_id)
    _require_verified_server(arguments, connection, client)
    token = _token(sign_in, f"{sign_in.identity.cloud.ossrdbms}/.default")
    return arguments | {client.password: _HiddenText(token)}


def _require_verified_server(arguments: dict[str, Any], connection: Any, client: MySqlClient) -> None:
    name, values = client.verification
    whose = f"the extra of connection {quoted(connection.conn_id)}"
    if arguments.get(name) not in values or arguments.get("ssl_disabled"):
        raise ClientError(
            f"{name} in {whose} is {quoted(arguments.get(name))}, and with {AZURE_CONN_ID} the server's certificate "
            "has to be checked: otherwise the access token would also be sent to a server without TLS, in clear text.\n"
            f"Next step: add {client.example} to that extra, without ssl_disabled."
        )
    if getattr(sys.modules.get("MySQLdb"), "__name__", "") == "pymysql" and client is MYSQL_CLIENTS["mysqldb"]:
        raise ClientError(
            f"{AZURE_CONN_ID} in {whose} needs mysqlclient, and MySQLdb is PyMySQL here, which would send the access "
            "token to a server without TLS, too.\n"
            'Next step: install mysqlclient, or add {"client": "mysql-connector-python"} to that extra.'
        )


@contextmanager
def _plain_id_expected(azure_conn_id: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not has_endpoint(azure_conn_id) or not airflow_compat.is_not_found(error):
            raise
        raise EndpointError(
            f"azure_conn_id is {quoted(azure_conn_id)}, but gets a token for a database that has its own host, so it "
            f"takes no endpoint. Use the plain id: {quoted(split(azure_conn_id)[0])}."
        ) from error


def _databricks_sign_in(hook: Any) -> SignIn | None:
    if (known := _known_sign_in(hook)) or (azure_conn_id := _azure_conn_id_of(hook.databricks_conn)) is None:
        return known
    # Kept for its next request, as the hook keeps its own connection.
    hook.azure_workload_identity = _sign_in_named_by(hook.databricks_conn, azure_conn_id)
    return sign_in_of(hook)


async def _async_databricks_sign_in(hook: Any) -> SignIn | None:
    if (known := _known_sign_in(hook)) or (azure_conn_id := _azure_conn_id_of(hook.databricks_conn)) is None:
        return known
    with _expecting_azure_conn_id(hook.databricks_conn, azure_conn_id):
        named = await airflow_compat.aget_connection(airflow_compat.BaseHook, azure_conn_id)
    hook.azure_workload_identity = _sign_in_expected_of(hook.databricks_conn, named)
    return sign_in_of(hook)


def _known_sign_in(hook: Any) -> SignIn | None:
    return sign_in_of(hook.databricks_conn) or sign_in_of(hook)


def _azure_conn_id_of(connection: Any) -> Any:
    azure_conn_id = connection.extra_dejson.get(AZURE_CONN_ID)
    if azure_conn_id and (not isinstance(azure_conn_id, str) or has_endpoint(azure_conn_id)):
        raise _identity_error(
            connection, f"{quoted(azure_conn_id)} is not a plain id, and the host is set in this connection"
        )
    return azure_conn_id or None


def _sign_in_named_by(connection: Any, azure_conn_id: str) -> SignIn:
    with _expecting_azure_conn_id(connection, azure_conn_id):
        named = airflow_compat.BaseHook.get_connection(azure_conn_id)
    return _sign_in_expected_of(connection, named)


@contextmanager
def _expecting_azure_conn_id(connection: Any, azure_conn_id: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not airflow_compat.is_not_found(error):
            raise
        raise _identity_error(connection, f"there is no connection {quoted(azure_conn_id)}") from error


def _sign_in_expected_of(connection: Any, named: Any) -> SignIn:
    sign_in = sign_in_of(named)
    if sign_in is None:
        raise _identity_error(connection, f"connection {quoted(named.conn_id)} is of type {quoted(named.conn_type)}")
    return sign_in


def _identity_error(connection: Any, problem: str) -> IdentityError:
    return IdentityError(
        f"{AZURE_CONN_ID} in the extra of connection {quoted(connection.conn_id)}",
        [f"{problem}: expected the plain id of a connection of type {CONNECTION_TYPE!r}"],
    )


class _HiddenBytes(bytes):
    """Bytes that whoever prints them does not see."""

    def __repr__(self) -> str:
        return "b'...'"


class _HiddenText(str):
    """Text that is not seen where the arguments of a call are printed."""

    def __repr__(self) -> str:
        return "'...'"


def _token(sign_in: SignIn, scope: str) -> str:
    token = sign_in.credential().get_token(scope).token
    airflow_compat.mask_once(token)
    return token


async def _async_token(sign_in: SignIn, scope: str) -> str:
    token = (await sign_in.async_credential().get_token(scope)).token
    await airflow_compat.amask_once(token)
    return token
