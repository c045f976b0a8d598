"""Read: what stock hooks find in a connection of this package's type.

``BaseHook.get_connection`` answers the stock provider's hooks with a copy of the connection (made in
:mod:`~airflow_azure_wi.bridge.showing`). All other code reads what is stored. It is here, too, that an endpoint in a
connection id is taken off before Airflow looks the connection up.
"""

import functools
from contextvars import ContextVar
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge._imports import warn_once
from airflow_azure_wi.bridge.signing_in import SignIn
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE

# Everything else is imported where it is used: every process reads this module, and few meet such a connection.
if TYPE_CHECKING:
    from airflow_azure_wi.endpoints import Endpoint

_last_read: ContextVar[SignIn | None] = ContextVar("airflow_azure_wi_last_read", default=None)


def replace_in(base_hook: type[Any]) -> None:
    """Replace ``get_connection`` and, where there is one, ``aget_connection``."""
    raw = vars(base_hook).get("get_connection")
    if not _is_called_on_the_class(raw):
        warn_once(
            f"{base_hook.__module__}.BaseHook has no get_connection of its own that is called on the class: stock "
            "Azure hooks cannot use azure_workload_identity connections. Update airflow-azure-wi."
        )
        return
    setattr(base_hook, "get_connection", _reading(raw, base_hook))  # noqa: B010 - mypy takes it for a method
    araw = vars(base_hook).get("aget_connection")
    if _is_called_on_the_class(araw):
        setattr(base_hook, "aget_connection", _areading(araw, base_hook))  # noqa: B010


def _is_called_on_the_class(raw: Any) -> bool:
    """Whether an attribute of a class, as it is stored there, is a class method, a static method, or like one.

    Who patches a method, as tracing does, may leave a descriptor of any class there; a function is one of instances.
    """
    return hasattr(raw, "__get__") and not isinstance(raw, FunctionType)


def sign_in_through(connection: Any) -> SignIn | None:
    """Return how to sign in through a connection that was read here, or None if it is of another type."""
    sign_in = getattr(connection, "azure_workload_identity", None)
    return sign_in if isinstance(sign_in, SignIn) else None


def last_read() -> SignIn | None:
    """Return how to sign in through the connection that this thread or task read last; None if of another type."""
    return _last_read.get()


def _reading(raw: Any, base_hook: type[Any]) -> Any:
    @functools.wraps(raw.__get__(None, base_hook))
    def get_connection(cls: type[Any], conn_id: str, *args: Any, **kwargs: Any) -> Any:
        own_id, endpoint = _split(conn_id)
        return _answer(cls, base_hook, raw.__get__(None, cls)(own_id, *args, **kwargs), endpoint)

    return classmethod(get_connection)


def _areading(raw: Any, base_hook: type[Any]) -> Any:
    @functools.wraps(raw.__get__(None, base_hook))
    async def aget_connection(cls: type[Any], conn_id: str, *args: Any, **kwargs: Any) -> Any:
        own_id, endpoint = _split(conn_id)
        return _answer(cls, base_hook, await raw.__get__(None, cls)(own_id, *args, **kwargs), endpoint)

    return classmethod(aget_connection)


def _split(conn_id: Any) -> tuple[Any, "Endpoint | None"]:
    if not isinstance(conn_id, str) or "@" not in conn_id:
        return conn_id, None
    from airflow_azure_wi import endpoints

    return endpoints.split(conn_id)


def _answer(reader: type[Any], base_hook: type[Any], connection: Any, endpoint: "Endpoint | None") -> Any:
    _last_read.set(None)
    if not _serves(connection, is_named=endpoint is not None) and not _is_misread(connection):
        if endpoint is not None:
            _refuse(connection, endpoint)
        return connection
    # BaseHook itself is what functions of the stock provider ask.
    if reader is not base_hook and not any(map(table.is_stock, reader.__mro__)):
        return connection
    from airflow_azure_wi.bridge.showing import shown

    copy = shown(connection, reader, endpoint)
    _last_read.set(copy.azure_workload_identity)
    return copy


def _serves(connection: Any, *, is_named: bool) -> bool:
    """Whether stock hooks are shown a connection as one of workload identity.

    :param is_named: whether the call names its endpoint, which is asking for this package.
    """
    conn_type = getattr(connection, "conn_type", None)
    if conn_type != STOCK_CONNECTION_TYPE:
        return bool(conn_type == CONNECTION_TYPE)
    from airflow_azure_wi.hooks.configuration import serves_stock_connections
    from airflow_azure_wi.identity import is_stock_workload_identity

    return is_stock_workload_identity(connection) and (is_named or serves_stock_connections())


def _is_misread(connection: Any) -> bool:
    """Whether it is of this package's type, and Airflow could not read that; showing it says what to write."""
    if getattr(connection, "conn_type", None):
        return False
    from airflow_azure_wi.identity import is_misread_uri

    return is_misread_uri(connection)


def _refuse(connection: Any, endpoint: "Endpoint") -> NoReturn:
    from airflow_azure_wi.errors import EndpointError

    raise EndpointError(
        f"connection {connection.conn_id!r} is of type {connection.conn_type!r}, and cannot be used at "
        f"{endpoint.url}: expected type {CONNECTION_TYPE!r}. Use the id of an Azure Workload Identity connection, or "
        "the plain id of this one."
    )
