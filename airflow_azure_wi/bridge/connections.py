"""Read: what stock hooks find in a connection of this package's type.

``BaseHook.get_connection`` answers the stock provider's hooks with a copy of the connection (made in
:mod:`~airflow_azure_wi.bridge.connection_view`). All other code reads what is stored. It is here, too, that an endpoint
in a connection id is taken off before Airflow looks the connection up; an ``@`` in the id of any other connection means
nothing, and it is looked up as it is.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import TYPE_CHECKING, Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.credentials import SignIn, note_read
from airflow_azure_wi.bridge.imports import warn_once
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE

# Everything else is imported where it is used: every process reads this module, and few meet such a connection.
if TYPE_CHECKING:
    from airflow_azure_wi.endpoints import Endpoint
    from airflow_azure_wi.errors import EndpointError

_already: ContextVar[tuple[str, Any] | None] = ContextVar("airflow_azure_wi_already_read", default=None)
_needed: ContextVar[table.Need | None] = ContextVar("airflow_azure_wi_endpoint_needed", default=None)


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


def _presented_as(raw: Any, base_hook: type[Any]) -> Callable[[Any], Any]:
    """Return a decorator that gives a function the name and the signature of what it replaces."""
    if isinstance(raw, classmethod):
        return functools.wraps(raw.__func__)

    def decorate(function: Any) -> Any:
        functools.update_wrapper(function, raw.__get__(None, base_hook))
        # Its signature has no class, and whoever asks for that of a class method takes the first parameter away.
        del function.__wrapped__
        return function

    return decorate


def sign_in_through(connection: Any) -> SignIn | None:
    """Return how to sign in through a connection that was read here, or None if it is of another type."""
    sign_in = getattr(connection, "azure_workload_identity", None)
    return sign_in if isinstance(sign_in, SignIn) else None


@contextmanager
def endpoint_needed(need: table.Need) -> Iterator[None]:
    """Let a read through BaseHook itself, which does not say which hook asks, count as one that needs an endpoint."""
    token = _needed.set(need)
    try:
        yield
    finally:
        _needed.reset(token)


@contextmanager
def already_read(conn_id: str, connection: Any) -> Iterator[None]:
    """Let reads of an id, in this thread or task alone, return what they returned a moment ago."""
    token = _already.set((conn_id, connection))
    try:
        yield
    finally:
        _already.reset(token)


def _reading(raw: Any, base_hook: type[Any]) -> Any:
    @_presented_as(raw, base_hook)
    def get_connection(cls: type[Any], conn_id: str, *args: Any, **kwargs: Any) -> Any:
        already = _already.get()
        if already is not None and already[0] == conn_id:
            return already[1]
        read = raw.__get__(None, cls)
        own, (own_id, text) = None, _split(conn_id)
        if text is not None:
            try:
                own = read(own_id, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - raised again
                own = _not_found(error)
            if _serves(own, is_named=True):
                return _answer(cls, base_hook, own, text)
        with _explaining(own, conn_id):
            return _answer(cls, base_hook, read(conn_id, *args, **kwargs), None)

    return classmethod(get_connection)


def _areading(raw: Any, base_hook: type[Any]) -> Any:
    @_presented_as(raw, base_hook)
    async def aget_connection(cls: type[Any], conn_id: str, *args: Any, **kwargs: Any) -> Any:
        read = raw.__get__(None, cls)
        own, (own_id, text) = None, _split(conn_id)
        if text is not None:
            try:
                own = await read(own_id, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - raised again
                own = _not_found(error)
            if _serves(own, is_named=True):
                return _answer(cls, base_hook, own, text)
        with _explaining(own, conn_id):
            return _answer(cls, base_hook, await read(conn_id, *args, **kwargs), None)

    return classmethod(aget_connection)


def _split(conn_id: Any) -> tuple[Any, str | None]:
    if not isinstance(conn_id, str) or "@" not in conn_id:
        return conn_id, None
    from airflow_azure_wi import endpoints

    return endpoints.split(conn_id)


def _not_found(error: Exception) -> Exception:
    if not airflow_compat.is_not_found(error):
        raise error
    return error


@contextmanager
def _explaining(own: Any, conn_id: Any) -> Iterator[None]:
    """Look an id up as it is; where nothing is found, say what there is under the part of it before the ``@``.

    :param own: the connection of that part, which is not served, or why there is none; None where the id has no ``@``.
    """
    try:
        yield
    except Exception as error:
        if own is None or not airflow_compat.is_not_found(error):
            raise
        if isinstance(own, Exception):
            raise own from None
        raise error from _refusal(own, conn_id)


def _refusal(connection: Any, conn_id: str) -> "EndpointError":
    from airflow_azure_wi.errors import EndpointError
    from airflow_azure_wi.redaction import quoted

    return EndpointError(
        f"There is no connection {quoted(conn_id)}, and connection {quoted(connection.conn_id)} is of type "
        f"{quoted(connection.conn_type)}, which cannot be used at an endpoint: expected type {CONNECTION_TYPE!r}. Use "
        "the id of an Azure Workload Identity connection, or the plain id of this one."
    )


def _answer(reader: type[Any], base_hook: type[Any], connection: Any, text: str | None) -> Any:
    note_read(None)
    # BaseHook itself is what functions of the stock provider ask.
    is_stock = reader is base_hook or any(map(table.is_stock, reader.__mro__))
    if not _serves(connection, is_named=text is not None) or not is_stock:
        return connection
    from airflow_azure_wi.bridge.connection_view import shown

    if text is not None:
        _check_takes_endpoint(reader, connection, text)
    copy = shown(connection, reader, None if text is None else _named(text))
    _check_endpoint(copy, _needed.get() if reader is base_hook else table.need_of(reader))
    if text is not None:
        # What get_hook() of the copy builds is used at the endpoint, too.
        copy.conn_id = f"{connection.conn_id}@{text}"
    note_read(copy.azure_workload_identity)
    return copy


def _serves(connection: Any, *, is_named: bool) -> bool:
    """Whether stock hooks are shown a connection as one of workload identity.

    :param is_named: whether the call names its endpoint, which is asking for this package.
    """
    if connection is None or isinstance(connection, Exception):
        return False
    conn_type = getattr(connection, "conn_type", None)
    if conn_type != STOCK_CONNECTION_TYPE:
        return bool(conn_type == CONNECTION_TYPE) or _is_misread(connection)
    from airflow_azure_wi.hooks.configuration import serves_stock_connections
    from airflow_azure_wi.identity import is_stock_workload_identity

    return is_stock_workload_identity(connection) and (is_named or serves_stock_connections())


def _is_misread(connection: Any) -> bool:
    """Whether it is of this package's type, and Airflow could not read that; showing it says what to write."""
    if getattr(connection, "conn_type", None):
        return False
    from airflow_azure_wi.identity import is_misread_uri

    return is_misread_uri(connection)


def _named(text: str) -> "Endpoint":
    from airflow_azure_wi import endpoints

    return endpoints.named(text)


def _check_takes_endpoint(reader: type[Any], connection: Any, text: str) -> None:
    destination = table.fixed_destination_of(reader)
    if destination is None:
        return
    from airflow_azure_wi.errors import EndpointError
    from airflow_azure_wi.redaction import quoted

    own_id = connection.conn_id
    raise EndpointError(
        f"The connection id {quoted(f'{own_id}@{text}')} names an endpoint, which {destination[0]} would ignore: it "
        f"sends its requests to {destination[1]}. Use the plain id: {quoted(own_id)}."
    )


def _check_endpoint(connection: Any, need: table.Need | None) -> None:
    if need is None or any(_value_at(place, connection) for place in need.places):
        return
    from airflow_azure_wi.errors import EndpointError
    from airflow_azure_wi.redaction import quoted

    raise EndpointError(
        f"No endpoint: {need.who} needs one, and connection {quoted(connection.conn_id)} names none. Name it in the "
        f"connection id, with `from airflow_azure_wi import at`: at({quoted(connection.conn_id)}, {need.example!r})."
    )


def _value_at(place: str, connection: Any) -> Any:
    if not place.startswith("extra."):
        return getattr(connection, place)
    key = place.removeprefix("extra.")
    # Under a prefix, too: so older forms stored extras.
    return any(value for name, value in connection.extra_dejson.items() if name == key or name.endswith(f"__{key}"))
