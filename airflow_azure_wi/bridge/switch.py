"""Turning the bridge on, unless Airflow's configuration turns it off."""

from types import ModuleType

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import imports, table

CONFIG_SECTION = "azure_workload_identity"
OPTION = "bridge_stock_hooks"


def turn_on() -> None:
    """Replace each seam as soon as its module is there, unless the bridge is turned off."""
    if not is_enabled():
        return
    for name in airflow_compat.BASE_HOOK_MODULES:
        imports.when_imported(name, _bridge_base_hook)
    imports.when_imported(f"{table.STOCK}.log.wasb_task_handler", _wait_for_remote_logging)
    imports.when_imported(f"{table.STOCK}.utils", _bridge_factories)
    for name in table.modules():
        imports.when_imported(name, _bridge_functions)


def is_enabled() -> bool:
    """Whether ``[azure_workload_identity] bridge_stock_hooks`` leaves the bridge on."""
    try:
        return airflow_compat.configured_switch(CONFIG_SECTION, OPTION, default=True)
    except Exception as error:  # noqa: BLE001 - no mistake in a configuration may keep Airflow from starting
        imports.warn_once(f"Airflow's configuration: {error} The bridge to the stock Azure hooks stays on.")
        return True


def _bridge_base_hook(module: ModuleType) -> None:
    from airflow_azure_wi.bridge import connections

    # An alias for a class of another module is replaced there.
    base_hook = vars(module).get("BaseHook")
    if base_hook is not None and base_hook.__module__ == module.__name__:
        connections.replace_in(base_hook)


def _wait_for_remote_logging(_: ModuleType) -> None:
    from airflow_azure_wi.bridge import remote_logging

    imports.when_imported("airflow.sdk.log", remote_logging.replace_in)


def _bridge_factories(module: ModuleType) -> None:
    from airflow_azure_wi.bridge import credentials

    credentials.replace_in(module)


def _bridge_functions(module: ModuleType) -> None:
    from airflow_azure_wi.bridge import functions

    functions.replace_in(module)
