"""Variables as ``airflow-azure-wi connection`` prints them, read by Airflow. Its command: test_connections."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from airflow_azure_wi.identity import WorkloadIdentity
from tests.airflow_program import Airflow

SAMPLE = Path(__file__).parent.parent / "data" / "az-identity-create.json"


def printed(output_format: str, conn_id: str) -> str:
    command = [sys.executable, "-m", "airflow_azure_wi", "connection", str(SAMPLE)]
    options = ["--format", output_format, "--conn-id", conn_id]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout


# One process for all, because each that starts costs seconds; `airflow connections get` reads it in the same way.
READ = """
import json, sys
from airflow.models import Connection
connections = [Connection.get_connection_from_secrets(conn_id) for conn_id in sys.argv[1:]]
print(json.dumps({c.conn_id: {"conn_type": c.conn_type, "extra_dejson": c.extra_dejson} for c in connections}))
"""


def assert_holds_the_sample(stored: dict[str, Any]) -> None:
    assert stored["conn_type"] == "azure_workload_identity"
    expected = WorkloadIdentity.from_extra(SAMPLE.read_text(), source="az", environment={})
    assert WorkloadIdentity.from_extra(stored["extra_dejson"], source="Airflow", environment={}) == expected


def test_a_variable_holds_it(airflow: Airflow) -> None:
    name, value = shlex.split(printed("env", "by_env"))[0].split("=", 1)
    variables = {name: value}
    for output_format in ("json", "uri"):
        conn_id = f"by_{output_format}"
        variables[f"AIRFLOW_CONN_{conn_id.upper()}"] = printed(output_format, conn_id).strip()
    read = airflow.python(READ, "by_env", "by_json", "by_uri", **variables)
    connections = json.loads(read.strip().splitlines()[-1])
    assert set(connections) == {"by_env", "by_json", "by_uri"}
    for stored in connections.values():
        assert_holds_the_sample(stored)
