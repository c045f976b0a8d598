"""Operators and sensors of the stock Azure provider, as a person writes them: only the connection id is ours."""

import os

import pendulum
from airflow.providers.common.io.operators.file_transfer import FileTransferOperator
from airflow.providers.microsoft.azure.operators.data_factory import AzureDataFactoryRunPipelineOperator
from airflow.providers.microsoft.azure.operators.msgraph import MSGraphAsyncOperator
from airflow.providers.microsoft.azure.operators.wasb_delete_blob import WasbDeleteBlobOperator
from airflow.providers.microsoft.azure.sensors.wasb import WasbBlobSensor
from airflow.providers.microsoft.azure.transfers.local_to_wasb import LocalFilesystemToWasbOperator

from airflow_azure_wi import at

try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath
    from airflow.models.dag import DAG

STORAGE = at("azure_wi", os.environ.get("STORAGE", "https://acct.blob.core.windows.net"))
CONTAINER = os.environ.get("CONTAINER", "container")

COMMON = {"schedule": None, "start_date": pendulum.datetime(2024, 1, 1, tz="UTC"), "catchup": False}


def upload(name: str) -> LocalFilesystemToWasbOperator:
    return LocalFilesystemToWasbOperator(
        task_id=f"upload_{name}",
        wasb_conn_id=STORAGE,
        file_path=__file__,
        container_name=CONTAINER,
        blob_name=f"{name}.txt",
    )


def wait_for(name: str) -> WasbBlobSensor:
    return WasbBlobSensor(
        task_id=f"wait_for_{name}",
        wasb_conn_id=STORAGE,
        container_name=CONTAINER,
        blob_name=f"{name}.txt",
        deferrable=True,
        poke_interval=1,
        timeout=60,
    )


with DAG("stock_storage", **COMMON):
    delete = WasbDeleteBlobOperator(
        task_id="delete",
        wasb_conn_id=at("azure_wi", "{{ var.value.account_url }}"),
        container_name=CONTAINER,
        blob_name="first.txt",
    )
    upload("first") >> wait_for("first") >> delete >> upload("second")

with DAG("stock_paths", **COMMON):

    @task
    def write() -> ObjectStoragePath:
        written = ObjectStoragePath(f"abfs://{CONTAINER}/written.txt", conn_id=STORAGE)
        written.write_text("Hello")
        return written

    @task
    def copy_from_text(written: ObjectStoragePath) -> None:
        copy = ObjectStoragePath(f"abfss://{CONTAINER}/copy.txt", conn_id=STORAGE)
        copy.write_text(ObjectStoragePath(str(written)).read_text())

    transfer = FileTransferOperator(
        task_id="transfer",
        src=f"abfs://{STORAGE}@{CONTAINER}/copy.txt",
        dst=f"abfs://{STORAGE}@{CONTAINER}/transferred.txt",
    )
    copy_from_text(write()) >> transfer

with DAG("stock_services", **COMMON):
    run_pipeline = AzureDataFactoryRunPipelineOperator(
        task_id="run_pipeline",
        azure_data_factory_conn_id="azure_wi",
        pipeline_name="p",
        resource_group_name="rg",
        factory_name="factory",
        check_interval=1,
    )
    run_pipeline >> MSGraphAsyncOperator(task_id="list_users", conn_id="azure_wi", url="users")
