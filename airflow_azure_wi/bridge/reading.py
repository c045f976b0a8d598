"""Read: what stock hooks find in a connection of this package's type.

``BaseHook.get_connection`` answers the stock provider's hooks with a copy of the connection (made in
:mod:`~airflow_azure_wi.bridge.showing`). All other code reads what is stored. It is here, too, that an endpoint in a
connection id is taken off before Airflow looks the connection up.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge._imports import warn_once
from airflow_azure_wi.bridge.signing_in import SignIn
from airflow_azure_wi.provider import CONNECTION_TYPE

# Everything else is imported where it is used: every process reads this module, and few meet such a connection.
if TYPE_CHECKING:
    from airflow_azure_wi.endpoints import Endpoint

_last_read: ContextVar[SignIn | None] = ContextVar("airflow_azure_wi_last_read", default=None)


def replace_in(base_hook: type[Any]) -> None:
    """Replace ``get_connection`` and, where there is one, ``aget_connection``."""
    if "get_connection" not in vars(base_hook):
        warn_once(
            f"{base_hook.__module__}.BaseHook has no get_connection of its own: stock Azure hooks cannot use "
            "azure_workload_identity connections. Update airflow-azure-wi."
        )
        return
    base_hook.get_connection = _reading(vars(base_hook)["get_connection"].__func__)
    if "aget_connection" in vars(base_hook):
        base_hook.aget_connection = _areading(vars(base_hook)["aget_connection"].__func__)


def sign_in_through(connection: Any) -> SignIn | None:
    """Return how to sign in through a connection that was read here, or None if it is of another type."""
    sign_in = getattr(connection, "azure_workload_identity", None)
    return sign_in if isinstance(sign_in, SignIn) else None


def last_read() -> SignIn | None:
    """Return how to sign in through the connection that this thread or task read last; None if of another type."""
    return _last_read.get()


def _reading(read: Callable[..., Any]) -> Any:
    @functools.wraps(read)
    def get_connection(cls: type[Any], conn_id: str) -> Any:
        own_id, endpoint = _split(conn_id)
        return _answer(cls, read(cls, own_id), endpoint)

    return classmethod(get_connection)


def _areading(read: Callable[..., Any]) -> Any:
    @functools.wraps(read)
    async def aget_connection(cls: type[Any], conn_id: str) -> Any:
        own_id, endpoint = _split(conn_id)
        return _answer(cls, await read(cls, own_id), endpoint)

    return classmethod(aget_connection)


def _split(conn_id: Any) -> tuple[Any, "Endpoint | None"]:
    if not isinstance(conn_id, str) or "@" not in conn_id:
        return conn_id, None
    from airflow_azure_wi import endpoints

    return endpoints.split(conn_id)


def _answer(reader: type[Any], connection: Any, endpoint: "Endpoint | None") -> Any:
    _last_read.set(None)
    if getattr(connection, "conn_type", None) != CONNECTION_TYPE:
        if endpoint is not None:
            _refuse(connection, endpoint)
        return connection
    if not _is_stock(reader):
        return connection
    from airflow_azure_wi.bridge.showing import shown

    copy = shown(connection, reader, endpoint)
    _last_read.set(copy.azure_workload_identity)
    return copy


def _refuse(connection: Any, endpoint: "Endpoint") -> NoReturn:
    from airflow_azure_wi.errors import EndpointError

    raise EndpointError(
        f"connection {connection.conn_id!r} is of type {connection.conn_type!r}, and cannot be used at "
        f"{endpoint.url}: expected type {CONNECTION_TYPE!r}. Use the id of an Azure Workload Identity connection, or "
        "the plain id of this one."
    )


def _is_stock(reader: type[Any]) -> bool:
    """Whether a class is a stock hook or derives from one; BaseHook itself is what functions of the provider ask."""
    return reader.__name__ == "BaseHook" or any(
        ancestor.__module__.startswith(f"{table.STOCK}.") for ancestor in reader.__mro__
    )
