"""The entry point in the group ``airflow.policy``: importing this module turns the bridge on.

Airflow imports it at the end of ``import airflow``, in every process, and registers it as a policy, although it defines
none. So it imports next to nothing, and never raises.
"""

from types import ModuleType

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import imports, table


def turn_on() -> None:
    """Patch each module once it is imported, unless the configuration turns the bridge off."""
    if signs_in_to_database():
        imports.when_imported("sqlalchemy", _listen_to_connections)
    if not is_enabled():
        return
    for name in airflow_compat.BASE_HOOK_MODULES:
        imports.when_imported(name, _patch_base_hook)
    imports.when_imported(f"{table.STOCK}.log.wasb_task_handler", _wait_for_remote_logging)
    for name in table.modules():
        imports.when_imported(name, _patch_functions)


def is_enabled() -> bool:
    """Return the option ``[azure_workload_identity] bridge_stock_hooks``."""
    try:
        return airflow_compat.switch("bridge_stock_hooks")
    except Exception as error:  # noqa: BLE001 - a mistake in the configuration must not keep Airflow from starting
        imports.warn_once(f"Airflow's configuration: {error} The bridge to the stock Azure hooks stays on.")
        return True


def signs_in_to_database() -> bool:
    """Return the option ``[azure_workload_identity] database_sign_in``."""
    try:
        return airflow_compat.switch("database_sign_in")
    except Exception:  # noqa: BLE001 - as above; the first connection to the database says what is wrong
        return True


def _listen_to_connections(_: ModuleType) -> None:
    from airflow_azure_wi.bridge import database

    database.listen()


def _patch_base_hook(module: ModuleType) -> None:
    from airflow_azure_wi.bridge import connections

    base_hook = vars(module).get("BaseHook")
    # One of the two modules may only have an alias.
    if base_hook is not None and base_hook.__module__ == module.__name__:
        connections.patch(base_hook)


def _wait_for_remote_logging(_: ModuleType) -> None:
    imports.when_imported(airflow_compat.REMOTE_LOGGING_MODULE, _patch_remote_logging)


def _patch_remote_logging(log: ModuleType) -> None:
    from airflow_azure_wi.endpoints import without_endpoint

    # The endpoint in an id is only for the stock hook.
    airflow_compat.replace_remote_logging_id(log, without_endpoint)


def _patch_functions(module: ModuleType) -> None:
    from airflow_azure_wi.bridge import credentials, other_providers

    imports.patch(module, vars(credentials) | vars(other_providers))


turn_on()
