"""Step 3 of the page: the doctor's report for the process that serves it, the API server."""

from typing import Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.doctor import DoctorContext, Report, examine
from airflow_azure_wi.identity import is_stock_workload_identity
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE


def report_on(conn_id: str) -> dict[str, Any]:
    """Sign in with a connection as this process, and return what the doctor finds. Blocks meanwhile."""
    try:
        context = DoctorContext.in_airflow(airflow_compat.stored_connection(conn_id))
    except LookupError as error:
        return Report.of_missing_connection(conn_id, str(error)).as_json()
    except Exception as error:  # noqa: BLE001 - secrets backends and Fernet raise what they like
        return Report.of_unreadable_connection(conn_id, str(error) or type(error).__name__).as_json()
    return examine(context).as_json()


def stored() -> list[str]:
    """Return the ids of the connections in Airflow's database that name a workload identity: ours, and stock ones."""
    found = airflow_compat.connections_of_types(CONNECTION_TYPE, STOCK_CONNECTION_TYPE)
    return [connection.conn_id for connection in found if _names_workload_identity(connection)]


def _names_workload_identity(connection: Any) -> bool:
    if connection.conn_type == CONNECTION_TYPE:
        return True
    try:
        return is_stock_workload_identity(connection)
    except Exception:  # noqa: BLE001 - stored with another Fernet key: not one that can be checked
        return False
