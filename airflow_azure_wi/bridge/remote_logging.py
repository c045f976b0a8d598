"""Remote task logging: the id of its connection, where Airflow fetches the connection before there is a hook.

What uploads a task's log has no database to read. Airflow 3 asks its API server for the connection, by the id that is
configured, and puts what it gets into an environment variable, where the stock hook then finds it. The endpoint in an
id belongs to that hook alone.
"""

import functools
from collections.abc import Callable
from types import ModuleType

from airflow_azure_wi import endpoints
from airflow_azure_wi.errors import EndpointError


def replace_in(log: ModuleType) -> None:
    """Replace what names the connection of remote logs."""
    load = getattr(log, "load_remote_conn_id", None)
    if load is not None:  # not in the first 3.0
        log.load_remote_conn_id = _own_id(load)  # type: ignore[attr-defined]


def _own_id(load: Callable[[], str | None]) -> Callable[[], str | None]:
    @functools.wraps(load)
    def load_remote_conn_id() -> str | None:
        conn_id = load()
        return _of_the_connection(conn_id) if conn_id else conn_id

    return load_remote_conn_id


def _of_the_connection(conn_id: str) -> str:
    """Return the id without its endpoint; an id whose ``@`` is followed by something else is left as it is."""
    own_id, text = endpoints.split(conn_id)
    if text is None:
        return conn_id
    try:
        endpoints.named(text)
    except EndpointError:
        return conn_id
    return own_id
