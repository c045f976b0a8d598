"""Where Airflow's versions differ, and nowhere else.

Importing this module imports nothing of Airflow: the bridge does so while Airflow itself is being imported.
"""

import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from airflow_azure_wi.errors import AirflowNotInstalledError

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, BaseOperator
    from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = [
    "BASE_HOOK_MODULES",
    "BaseHook",
    "BaseOperator",
    "BaseTrigger",
    "TriggerEvent",
    "aget_connection",
    "amask_secret",
    "configured",
    "configured_switch",
    "connection_like",
    "is_not_found",
    "mask_secret",
    "problem_of_database",
    "stored_connection",
]

# Where BaseHook is: in Airflow 3.1 and later, where the other name is an alias; in 2.11 and 3.0.
BASE_HOOK_MODULES = ("airflow.sdk.bases.hook", "airflow.hooks.base")


def __getattr__(name: str) -> Any:
    if name == "BaseHook":
        return _module(*BASE_HOOK_MODULES).BaseHook
    if name == "BaseOperator":  # Airflow 3.0 and later; 2.11
        return _module("airflow.sdk", "airflow.models.baseoperator").BaseOperator
    if name in ("BaseTrigger", "TriggerEvent"):
        return getattr(_module("airflow.triggers.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def configured(section: str, option: str) -> str:
    """Return an option of Airflow's configuration, or an empty string where it is not set."""
    # Airflow 3.2 and later; before.
    conf = _module("airflow.sdk.configuration", "airflow.configuration").conf
    return str(conf.get(section, option, fallback="") or "")


def configured_switch(section: str, option: str, *, default: bool) -> bool:
    """Return a switch of Airflow's configuration, also while Airflow is being imported.

    :raises ValueError: if the value is neither true nor false.
    """
    # Airflow has imported this one by then, in every version; airflow.sdk.configuration it has not.
    configuration = sys.modules.get("airflow.configuration")
    if configuration is None:
        return default
    try:
        return bool(configuration.conf.getboolean(section, option, fallback=default))
    except Exception:  # noqa: BLE001 - Airflow's own, which repeats the value in lower case, whatever it is
        from airflow_azure_wi.redaction import quoted

        value = configuration.conf.get(section, option, fallback="")
        raise ValueError(f"[{section}] {option} is {quoted(value)}, expected True or False.") from None


def mask_secret(secret: str) -> None:
    """Keep a secret out of the task's logs."""
    if _is_airflow_3_0():
        _mask_secret_in_3_0(secret)
    else:
        _masker().mask_secret(secret)


async def amask_secret(secret: str) -> None:
    """Keep a secret out of the task's logs, without blocking the event loop."""
    if hasattr(_masker(), "amask_secret"):  # 3.3 and later
        await _masker().amask_secret(secret)
        return
    from asgiref.sync import sync_to_async

    # Airflow 3.0 to 3.2 send it to the supervisor, which must not be done from within the loop.
    await sync_to_async(mask_secret)(secret)


async def aget_connection(hook: Any, conn_id: str) -> Any:
    """Read a connection without blocking the event loop."""
    if hasattr(_masker(), "amask_secret"):  # 3.3 and later
        return await hook.aget_connection(conn_id)
    from asgiref.sync import sync_to_async

    # aget_connection of Airflow 3.1 and 3.2 masks what it read with a call that blocks the loop: forever, if another
    # coroutine of the task is waiting for the supervisor. That of 3.1 finds no stored connection in a task, either.
    return await sync_to_async(hook.get_connection)(conn_id)


def stored_connection(conn_id: str) -> Any:
    """Read a connection outside of tasks, as Airflow's own command line does: also from Airflow's database.

    :raises LookupError: if Airflow has no such connection, or cannot look where it would be.
    """
    model = _module("airflow.models.connection").Connection
    try:
        return model.get_connection_from_secrets(conn_id)
    except import_module("airflow.exceptions").AirflowException as error:
        raise LookupError(str(error)) from None


def is_not_found(error: Exception) -> bool:
    """Return whether Airflow says by an exception that it has no such connection."""
    # It is defined in airflow.sdk.exceptions or in airflow.exceptions, and in some versions in both.
    return any(ancestor.__name__ == "AirflowNotFoundException" for ancestor in type(error).__mro__)


def connection_like(connection: Any, fields: Mapping[str, Any], extra: dict[str, Any], **attributes: Any) -> Any:
    """Return a copy of a connection, which nothing stores.

    :param fields: the fields that differ.
    :param extra: its extra. Whoever asks for it as a dictionary gets these very values.
    :param attributes: further attributes of the copy.
    """
    kind: Any = type(connection)
    is_model = kind.__module__ == "airflow.models.connection"
    build = kind if is_model else _connection_with_extra(kind)
    copy = build(
        conn_id=connection.conn_id,
        conn_type=connection.conn_type,
        description=connection.description,
        port=connection.port,
        extra=json.dumps(extra),
        **fields,
    )
    if is_model:
        # Airflow 2.11, and 3.0 in part. A class derived from this one would be mapped to a table.
        copy.get_extra_dejson = lambda nested=False: dict(extra)
    else:
        copy._extra_dejson = extra
    for name, value in attributes.items():
        setattr(copy, name, value)
    return copy


def problem_of_database() -> str | None:
    """Say why connections cannot be read from Airflow's database here, or return None where they can."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            session.scalars(select(Connection.conn_id).limit(1)).all()
    except (SQLAlchemyError, ImportError, RuntimeError) as error:  # RuntimeError: Airflow keeps tasks away from it
        return f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
    return None


@cache
def _connection_with_extra(kind: Any) -> type[Any]:
    """Derive from the connection of the task SDK one whose extra is given as a dictionary."""

    class ConnectionWithExtra(kind):  # type: ignore[misc]
        _extra_dejson: dict[str, Any]

        @property
        def extra_dejson(self) -> dict[str, Any]:
            return dict(self._extra_dejson)

        async def aextra_dejson(self) -> dict[str, Any]:  # asked for by 3.3.2 and later
            return self.extra_dejson

    ConnectionWithExtra.__name__ = ConnectionWithExtra.__qualname__ = kind.__name__
    return ConnectionWithExtra


def _masker() -> Any:
    # Airflow 3.0 and later; 2.11.
    return _module("airflow.sdk.log", "airflow.utils.log.secrets_masker")


@cache
def _is_airflow_3_0() -> bool:
    return version("apache-airflow").startswith("3.0.")


class _Unprinted(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def _mask_secret_in_3_0(secret: str) -> None:
    """Do what Airflow 3.0 does, whose ``dags test`` prints each message to the supervisor, this one included."""
    from airflow.sdk.execution_time import secrets_masker, task_runner
    from airflow.sdk.execution_time.comms import MaskSecret

    secrets_masker._secrets_masker().add_mask(secret)
    if comms := getattr(task_runner, "SUPERVISOR_COMMS", None):
        comms.send(MaskSecret.model_construct(value=_Unprinted(secret), name=None, type="MaskSecret"))


def _module(*names: str) -> Any:
    """Import the first of these modules that this Airflow has."""
    for name in names[:-1]:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    try:
        return import_module(names[-1])
    except ModuleNotFoundError as error:
        if error.name == "airflow":
            raise AirflowNotInstalledError from None
        raise
