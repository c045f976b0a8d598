"""Step 3 of the page: the doctor's report for the process that serves it, the API server."""

import os
from typing import Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.doctor import DoctorContext, Report, Result, Status, examine
from airflow_azure_wi.identity import is_stock_workload_identity
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE
from airflow_azure_wi.redaction import excerpt, quoted


def report_on(conn_id: str) -> dict[str, Any]:
    """Sign in with a connection as this process, and return what the doctor finds. Blocks meanwhile."""
    try:
        connection = airflow_compat.stored_connection(conn_id)
        context = DoctorContext.of(
            connection,
            environment=os.environ,
            options=airflow_compat.options(),
            serves_stock=airflow_compat.serves_stock_connections(),
        )
    except LookupError as error:
        return Report.of_missing_connection(conn_id, str(error)).as_json()
    except Exception as error:  # noqa: BLE001 - secrets backends and Fernet raise what they like
        return _unreadable(conn_id, error).as_json()
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


def _unreadable(conn_id: str, error: Exception) -> Report:
    reason = excerpt(str(error) or type(error).__name__)
    result = Result(
        "connection",
        Status.FAILED,
        f"Airflow cannot read the connection {quoted(conn_id)}: {reason}",
        "Check Airflow's Fernet key and its secrets backend, or save the connection again.",
    )
    return Report(f"connection {quoted(conn_id)}", (result,), None)
