"""Replacements for hooks of other providers: Databricks, ODBC, PostgreSQL and Snowflake.

Each is called with the original function and the arguments of the call. Connections of these hooks have types of their
own, and name the one to sign in with in their extra, as ``azure_conn_id``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge.credentials import SignIn, sign_in_of
from airflow_azure_wi.endpoints import has_endpoint, split
from airflow_azure_wi.errors import EndpointError, IdentityError
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


def postgres_token(original: Any, hook: Any, connection: Any) -> Any:
    """Get the token; explain an id that names no identity, or has an endpoint."""
    azure_conn_id = connection.extra_dejson.get(AZURE_CONN_ID)
    with _expecting_azure_conn_id(connection, azure_conn_id), _plain_id_expected(azure_conn_id):
        try:
            return original(hook, connection)
        except AttributeError:
            # The original asks the hook of whatever connection it finds for a token.
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


def _token(sign_in: SignIn, scope: str) -> str:
    token = sign_in.credential().get_token(scope).token
    airflow_compat.mask_once(token)
    return token


async def _async_token(sign_in: SignIn, scope: str) -> str:
    token = (await sign_in.async_credential().get_token(scope)).token
    await airflow_compat.amask_once(token)
    return token
