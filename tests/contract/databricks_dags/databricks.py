"""Operators, a sensor and a trigger of the Databricks provider, with one connection of an identity."""

import os

import aiohttp
import pendulum
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator
from airflow.providers.databricks.operators.databricks_repos import DatabricksReposUpdateOperator
from airflow.providers.databricks.operators.databricks_sql import DatabricksSqlOperator
from airflow.providers.databricks.sensors.databricks_sql import DatabricksSqlSensor

from airflow_azure_wi import at

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow.models.dag import DAG

# The trigger reads no proxy from the environment, and this is how the stand-in is reached.
aiohttp.ClientSession.__init__.__kwdefaults__["trust_env"] = True

WORKSPACE = at("azure_wi", os.environ["WORKSPACE"])
WAREHOUSE = os.environ["HTTP_PATH"]

with DAG("databricks", schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC")):
    update = DatabricksReposUpdateOperator(task_id="update", databricks_conn_id=WORKSPACE, repo_id=5, branch="main")
    run = DatabricksRunNowOperator(
        task_id="run", databricks_conn_id=WORKSPACE, job_id=42, deferrable=True, polling_period_seconds=1
    )
    query = DatabricksSqlOperator(
        task_id="query",
        databricks_conn_id=WORKSPACE,
        http_path=WAREHOUSE,
        sql="select 42",
        client_parameters={"enable_telemetry": False},
    )
    wait = DatabricksSqlSensor(
        task_id="wait", databricks_conn_id=WORKSPACE, http_path=WAREHOUSE, sql="select 42", poke_interval=1, timeout=60
    )
    update >> run >> query >> wait
