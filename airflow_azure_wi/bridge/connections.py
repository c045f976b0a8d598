"""What stock hooks find in a connection of this package.

``BaseHook.get_connection`` gives a stock hook a copy of the connection: the identity under the names that the hook
reads, an endpoint, and plain settings. Everything else is left out, with a warning: for stock hooks, and the clients
that they pass their extras to, it could mean another identity, or another place to send an access token to. All other
code gets the stored connection.

This is also where the endpoint in a connection id is split off before Airflow looks up the connection. In the id of any
other connection an ``@`` has no meaning, and the id is looked up unchanged.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.credentials import (
    ALREADY_READ,
    CLIENT_ID,
    LAST_SIGN_IN,
    REQUIRED_ENDPOINT,
    ClientId,
    SignIn,
    ignored_endpoint,
)
from airflow_azure_wi.bridge.imports import warn_once
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE
from airflow_azure_wi.redaction import quoted

# All other imports are in the functions that need them: every process that has BaseHook imports this module.
if TYPE_CHECKING:
    from airflow_azure_wi.endpoints import Endpoint
    from airflow_azure_wi.identity import WorkloadIdentity

# The prefix that older forms gave to extras.
_PREFIX = re.compile(r"extra__[a-z0-9_]*?__(?=.)")
_HOST_OR_ACCOUNT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_MOST_NAMED = 10


def patch(base_hook: type[Any]) -> None:
    """Replace ``get_connection`` and, in Airflow 3, ``aget_connection``."""
    original = vars(base_hook).get("get_connection")
    if not _is_called_on_the_class(original):
        warn_once(
            f"{base_hook.__module__}.BaseHook has no get_connection of its own that is called on the class: stock "
            "Azure hooks cannot use azure_workload_identity connections. Update airflow-azure-wi."
        )
        return
    setattr(base_hook, "get_connection", _get_connection(original, base_hook))  # noqa: B010 - mypy takes it for a method
    original = vars(base_hook).get("aget_connection")
    if _is_called_on_the_class(original):
        setattr(base_hook, "aget_connection", _aget_connection(original, base_hook))  # noqa: B010


def _is_called_on_the_class(attribute: Any) -> bool:
    """Return whether an attribute is a class method, a static method, or what a tracing library put in its place."""
    return hasattr(attribute, "__get__") and not isinstance(attribute, FunctionType)


def _get_connection(original: Any, base_hook: type[Any]) -> Any:
    @_like(original, base_hook)
    def get_connection(cls: type[Any], conn_id: str, *args: Any, **kwargs: Any) -> Any:
        already_read = ALREADY_READ.get()
        if already_read is not None and already_read[0] == conn_id:
            return already_read[1]
        read = original.__get__(None, cls)
        found, (plain_id, endpoint) = None, _split(conn_id)
        if endpoint is not None:
            try:
                found = read(plain_id, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - any other is raised again
                found = _if_not_found(error)
            if _is_served(found, has_endpoint=True):
                return _connection_for(cls, base_hook, found, endpoint)
        with _explaining(found, conn_id):
            return _connection_for(cls, base_hook, read(conn_id, *args, **kwargs), None)

    return classmethod(get_connection)


def _aget_connection(original: Any, base_hook: type[Any]) -> Any:
    @_like(original, base_hook)
    async def aget_connection(cls: type[Any], conn_id: str, *args: Any, **kwargs: Any) -> Any:
        read = original.__get__(None, cls)
        found, (plain_id, endpoint) = None, _split(conn_id)
        if endpoint is not None:
            try:
                found = await read(plain_id, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - any other is raised again
                found = _if_not_found(error)
            if _is_served(found, has_endpoint=True):
                return _connection_for(cls, base_hook, found, endpoint)
        with _explaining(found, conn_id):
            return _connection_for(cls, base_hook, await read(conn_id, *args, **kwargs), None)

    return classmethod(aget_connection)


def _like(original: Any, base_hook: type[Any]) -> Callable[[Any], Any]:
    """Return a decorator that gives a function the name and signature of the method that it replaces."""
    if isinstance(original, classmethod):
        return functools.wraps(original.__func__)

    def decorate(function: Any) -> Any:
        functools.update_wrapper(function, original.__get__(None, base_hook))
        # That signature has no `cls`, and inspect would remove the first parameter, as of any class method.
        del function.__wrapped__
        return function

    return decorate


def _split(conn_id: Any) -> tuple[Any, str | None]:
    if not isinstance(conn_id, str) or "@" not in conn_id:
        return conn_id, None
    from airflow_azure_wi import endpoints

    return endpoints.split(conn_id)


def _if_not_found(error: Exception) -> Exception:
    if not airflow_compat.is_not_found(error):
        raise error
    return error


@contextmanager
def _explaining(found: Any, conn_id: Any) -> Iterator[None]:
    """Explain why nothing is found under an id with an ``@``.

    :param found: the connection under the part before the ``@``, which takes no endpoint, or the error that there is
        none. None if the id has no ``@``.
    """
    try:
        yield
    except Exception as error:
        if found is None or not airflow_compat.is_not_found(error):
            raise
        if isinstance(found, Exception):
            raise found from None
        raise error from EndpointError(
            f"There is no connection {quoted(conn_id)}, and connection {quoted(found.conn_id)} is of type "
            f"{quoted(found.conn_type)}, which cannot be used at an endpoint: expected type {CONNECTION_TYPE!r}. Use "
            "the id of an Azure Workload Identity connection, or the plain id of this one."
        )


def _is_served(connection: Any, *, has_endpoint: bool) -> bool:
    """Return whether stock hooks get a copy of a connection.

    :param has_endpoint: whether the id names an endpoint. Only this package offers that.
    """
    if connection is None or isinstance(connection, Exception):
        return False
    conn_type = getattr(connection, "conn_type", None)
    if conn_type and conn_type != STOCK_CONNECTION_TYPE:
        return bool(conn_type == CONNECTION_TYPE)
    from airflow_azure_wi.identity import is_misread_uri, is_stock_workload_identity

    if not conn_type:
        # Reading the identity raises an error that says how to write the URI.
        return is_misread_uri(connection)
    return is_stock_workload_identity(connection) and (has_endpoint or airflow_compat.serves_stock_connections())


def _connection_for(hook_class: type[Any], base_hook: type[Any], connection: Any, endpoint: str | None) -> Any:
    """Return what a class finds when it reads a connection.

    :param endpoint: what follows the ``@`` in the id.
    """
    LAST_SIGN_IN.set(None)
    # Functions of the stock provider call BaseHook itself.
    is_stock = hook_class is base_hook or any(map(table.is_stock_class, hook_class.__mro__))
    if not is_stock or not _is_served(connection, has_endpoint=endpoint is not None):
        return connection
    from airflow_azure_wi import endpoints

    destination = table.find(table.FIXED_DESTINATIONS, hook_class)
    if endpoint is not None and destination is not None:
        raise ignored_endpoint(f"{connection.conn_id}@{endpoint}", hook_class.__name__, destination)
    required = REQUIRED_ENDPOINT.get() if hook_class is base_hook else table.find(table.REQUIRED_ENDPOINTS, hook_class)
    copy = _copy(connection, hook_class, None if endpoint is None else endpoints.named(endpoint), required)
    if endpoint is not None:
        # So that get_hook() of the copy creates a hook for the endpoint, too.
        copy.conn_id = f"{connection.conn_id}@{endpoint}"
    LAST_SIGN_IN.set(copy.azure_workload_identity)
    return copy


def _copy(
    connection: Any, hook_class: type[Any], endpoint: "Endpoint | None", required: table.RequiredEndpoint | None
) -> Any:
    """Return the copy of a connection that a stock hook gets.

    :param endpoint: the one in the connection id. The connection's own endpoint is then left out.
    :raises IdentityError: if the connection does not describe a workload identity.
    """
    from airflow_azure_wi.identity import extra_of_connection, identity_from_connection, name_of

    name = name_of(connection)
    sign_in = SignIn(identity_from_connection(connection, environment=os.environ), name)
    left_out: list[str] = []
    fields = _checked_fields(connection, sign_in.identity, left_out)
    stored = _checked_extra(extra_of_connection(connection), left_out)
    _warn_of(left_out, name)
    mapping = table.find(table.CONNECTION_MAPPINGS, hook_class) or table.ConnectionMapping()
    copied = set(table.SETTINGS)
    if endpoint is None:
        copied |= {field.removeprefix("extra.") for field in mapping.endpoint}
        endpoint = _endpoint_of(connection.host)
    else:
        fields = {}
    values = fields | {f"extra.{key}": value for key, value in stored.items() if key in copied}
    values |= mapping.constants
    for field, form in mapping.endpoint.items() if endpoint else ():
        if field == "host" or not values.get(field):
            values[field] = getattr(endpoint, form)
    _check_has_endpoint(values, required, connection.conn_id)
    return airflow_compat.connection_like(
        connection,
        {name: values.get(name) for name in ("host", "login", "schema", "password")},
        {field.removeprefix("extra."): value for field, value in values.items() if field.startswith("extra.")}
        | _ids(sign_in),
        azure_workload_identity=sign_in,
        port=values.get("port", connection.port),
    )


def _check_has_endpoint(values: dict[str, Any], required: table.RequiredEndpoint | None, conn_id: str) -> None:
    if required is None or any(values.get(field) for field in required.fields):
        return
    raise EndpointError(
        f"No endpoint: {required.caller} needs one, and connection {quoted(conn_id)} names none. Name it in the "
        f"connection id, with `from airflow_azure_wi import at`: at({quoted(conn_id)}, {required.example!r})."
    )


def _checked_fields(connection: Any, identity: "WorkloadIdentity", left_out: list[str]) -> dict[str, Any]:
    """Return the fields without those that a hook must not get, whose names are added to ``left_out``."""
    login = connection.login
    if (login or "").strip().lower() == identity.client_id:
        login = None
    fields = {"host": connection.host, "login": login}
    for name, value in fields.items():
        if value and not _can_be_endpoint(value):
            left_out.append(name)
            fields[name] = None
    # Microsoft Graph's hook uses it as the scheme of its URL; that of Service Bus, as a connection string.
    schema = connection.schema
    if schema and schema.lower() != "https":
        left_out.append("schema")
        schema = None
    if connection.password:
        left_out.append("password")
    return fields | {"schema": schema}


def _checked_extra(stored: dict[str, Any], left_out: list[str]) -> dict[str, Any]:
    """Return the extras that a hook may get, and add the names of the others to ``left_out``."""
    # Like stock hooks, prefer the name without a prefix.
    extra = {_PREFIX.sub("", key, count=1): value for key, value in stored.items()} | stored
    allowed = {key: value for key, value in extra.items() if _is_allowed(key, value)}
    left_out += (key for key in extra if key not in allowed and not _is_of_identity(key) and not _PREFIX.match(key))
    return allowed


def _is_allowed(key: str, value: Any) -> bool:
    if key in table.SETTINGS:
        return value is None or table.VALUE_TYPES[table.SETTINGS[key]](value)
    return key in table.endpoint_extras() and (not value or _can_be_endpoint(value))


def _is_of_identity(key: str) -> bool:
    return key.replace("_", "").replace("-", "").lower() in table.IDENTITY_EXTRAS


def _warn_of(left_out: list[str], name: str) -> None:
    if not left_out:
        return
    named = ", ".join(quoted(key) for key in left_out[:_MOST_NAMED])
    more = f" and {len(left_out) - _MOST_NAMED} more" if len(left_out) > _MOST_NAMED else ""
    warn_once(
        f"{name}: stock Azure hooks are not shown {named}{more}: an Azure Workload Identity connection gives them an "
        "identity, an endpoint and plain settings, nothing that could replace the identity or send an access token "
        "elsewhere. Remove it from the connection. docs/explanation/security.md lists what is shown."
    )


def _ids(sign_in: SignIn) -> dict[str, Any]:
    """Return the identity under all names that stock hooks use."""
    from airflow_azure_wi.clouds import PUBLIC

    identity = sign_in.identity
    ids: dict[str, Any] = {
        CLIENT_ID: ClientId.of(sign_in),
        # The names of this package, for DAG code that reads the connection through BaseHook.
        "clientId": identity.client_id,
        "workload_identity_tenant_id": identity.tenant_id,
        "tenantId": identity.tenant_id,
    }
    if identity.subscription_id:
        ids |= {"subscriptionId": identity.subscription_id, "subscription_id": identity.subscription_id}
    if identity.cloud != PUBLIC:
        ids["cloud_environment"] = identity.cloud.name
    return ids


def _can_be_endpoint(value: Any) -> bool:
    """Return whether a value is an https URL, or the name of a host or an account, which stock hooks complete."""
    if not isinstance(value, str):
        return False
    return _endpoint_of(value) is not None or _HOST_OR_ACCOUNT.fullmatch(value.strip()) is not None


def _endpoint_of(host: str | None) -> "Endpoint | None":
    from airflow_azure_wi.endpoints import Endpoint

    try:
        return Endpoint.of(host) if host and "://" in host else None
    except EndpointError:
        # Stock hooks accept other forms too, such as the name of an account.
        return None
