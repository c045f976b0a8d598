"""A deferrable sensor of the stock Azure provider, for a running Airflow; a file of its own, as each task parses it."""

import os

import pendulum
from airflow.providers.microsoft.azure.sensors.wasb import WasbBlobSensor
from airflow.sdk import DAG

from airflow_azure_wi import at

with DAG("stock_sensor", schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC"), catchup=False):
    WasbBlobSensor(
        task_id="wait",
        wasb_conn_id=at("azure_wi", os.environ["STORAGE"]),
        container_name=os.environ["CONTAINER"],
        blob_name="awaited.txt",
        deferrable=True,
        poke_interval=1,
        timeout=600,
    )
