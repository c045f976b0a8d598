"""What the Test button of Airflow 3.3.2 does with a connection of this type: its own route, without the page."""

import json
from collections.abc import Callable

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import CONNECTION, Airflow

# As the page calls it, which posts 0 for a port that is not there: https://github.com/apache/airflow/issues/69957.
PRESS = """
import json, os, sys
from fastapi import HTTPException
from airflow.api_fastapi.core_api.datamodels.connections import ConnectionBody
from airflow.api_fastapi.core_api.routes.public import connections

class Anybody:
    def is_authorized_connection(self, **asked):
        return True

stored = json.loads(os.environ["AIRFLOW_CONN_AZURE_WI"])
posted = ConnectionBody(
    connection_id="azure_wi", conn_type=stored["conn_type"], extra=json.dumps(stored["extra"]), port=int(sys.argv[1])
)
try:
    answer = connections.test_connection(posted, user=None, auth_manager=Anybody())
    print(json.dumps([200, answer.status, answer.message]))
except HTTPException as refusal:
    print(json.dumps([refusal.status_code, False, refusal.detail]))
"""


def with_port(variables: dict[str, str], port: int | None) -> dict[str, str]:
    name = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    connection = json.loads(variables[name]) | ({} if port is None else {"port": port})
    return variables | {name: json.dumps(connection)}


@pytest.mark.parametrize(
    ("stored", "posted", "status", "found"),
    [(None, 0, 400, "The host or port to test differs from the stored connection."), (443, 443, 200, "Signed in as")],
    ids=["no port", "a stored port"],
)
def test_it_wants_a_stored_port(
    airflow: Airflow,
    azure: OfflineAzure,
    workload_variables: Callable[..., dict[str, str]],
    stored: int | None,
    posted: int,
    status: int,
    found: str,
) -> None:
    printed = airflow.python(PRESS, str(posted), **with_port(workload_variables(), stored))
    answer = json.loads(printed.splitlines()[-1])
    assert answer[:2] == [status, status == 200]
    assert answer[2].startswith(found)
    assert len(azure.entra.exchanges) == (1 if status == 200 else 0)
