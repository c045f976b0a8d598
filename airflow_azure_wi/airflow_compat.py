"""Where Airflow's versions differ, and nowhere else."""

from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, BaseOperator
else:
    try:
        from airflow.sdk import BaseHook  # 3.1 and later
    except ImportError:
        from airflow.hooks.base import BaseHook  # 2.11 and 3.0

__all__ = [
    "BaseHook",
    "BaseOperator",
    "aget_connection",
    "amask_secret",
    "configured",
    "mask_secret",
    "stored_connection",
]


def __getattr__(name: str) -> Any:
    # Not imported above: the hook, which is imported wherever DAGs are parsed, does not need it.
    if name == "BaseOperator":  # Airflow 3.0 and later; 2.11
        return _module("airflow.sdk", "airflow.models.baseoperator").BaseOperator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def configured(section: str, option: str) -> str:
    """Return an option of Airflow's configuration, or an empty string where it is not set."""
    # Airflow 3.2 and later; before.
    conf = _module("airflow.sdk.configuration", "airflow.configuration").conf
    return str(conf.get(section, option, fallback="") or "")


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
    if hasattr(hook, "aget_connection"):  # 3.1 and later
        return await hook.aget_connection(conn_id)
    from asgiref.sync import sync_to_async

    return await sync_to_async(hook.get_connection)(conn_id)


def stored_connection(conn_id: str) -> Any:
    """Read a connection outside of tasks, as Airflow's own command line does: also from Airflow's database.

    :raises LookupError: if Airflow has no such connection, or cannot look where it would be.
    """
    from airflow.models.connection import Connection

    try:
        return Connection.get_connection_from_secrets(conn_id)
    except import_module("airflow.exceptions").AirflowException as error:
        raise LookupError(str(error)) from None


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


def _module(newer: str, older: str) -> Any:
    try:
        return import_module(newer)
    except ModuleNotFoundError:
        return import_module(older)
