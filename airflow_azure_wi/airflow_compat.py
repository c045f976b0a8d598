"""Where Airflow's versions differ, and nowhere else."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseHook
else:
    try:
        from airflow.sdk import BaseHook  # 3.1 and later
    except ImportError:
        from airflow.hooks.base import BaseHook  # 2.11 and 3.0

__all__ = ["BaseHook", "aget_connection", "amask_secret", "configured", "mask_secret"]


def configured(section: str, option: str) -> str:
    """Return an option of Airflow's configuration, or an empty string where it is not set."""
    # Airflow 3.2 and later; before.
    conf = _module("airflow.sdk.configuration", "airflow.configuration").conf
    return str(conf.get(section, option, fallback="") or "")


def mask_secret(secret: str) -> None:
    """Keep a secret out of the task's logs."""
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


def _masker() -> Any:
    # Airflow 3.0 and later; 2.11.
    return _module("airflow.sdk.log", "airflow.utils.log.secrets_masker")


def _module(newer: str, older: str) -> Any:
    try:
        return import_module(newer)
    except ModuleNotFoundError:
        return import_module(older)
