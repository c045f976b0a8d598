"""Write a report that counts the orders, then delete them."""

import pendulum
from airflow.providers.microsoft.azure.operators.wasb_delete_blob import WasbDeleteBlobOperator
from airflow.sdk import dag, task
from alerts import alert

from airflow_azure_wi import AzureWorkloadIdentityHook, at

ACCOUNT_URL = "https://acct.blob.core.windows.net"


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"on_failure_callback": alert},
)
def daily_report():
    @task
    def write_report() -> str:
        from azure.storage.blob import BlobServiceClient

        blobs = AzureWorkloadIdentityHook("azure_wi").get_client(BlobServiceClient, account_url=ACCOUNT_URL)
        orders = list(blobs.get_container_client("sales").list_blobs(name_starts_with="orders/"))
        report = f"{len(orders)} orders"
        blobs.get_blob_client("sales", "report.txt").upload_blob(report, overwrite=True)
        return report

    delete_orders = WasbDeleteBlobOperator(
        task_id="delete_orders",
        wasb_conn_id=at("azure_wi", ACCOUNT_URL),
        container_name="sales",
        blob_name="orders/",
        is_prefix=True,
    )
    write_report() >> delete_orders


report_dag = daily_report()
