"""Write a blob and read it back, through the connection ``azure_wi``."""

import pendulum
from airflow.sdk import dag, task

from airflow_azure_wi import AzureWorkloadIdentityHook


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC"), catchup=False)
def blob_round_trip():
    @task
    def write_and_read(blob_url: str) -> str:
        from azure.storage.blob import BlobServiceClient

        service = AzureWorkloadIdentityHook("azure_wi").get_client(BlobServiceClient, account_url=blob_url)
        container = service.get_container_client("airflow-azure-wi")
        if not container.exists():
            container.create_container()
        container.upload_blob("astro.txt", b"Hello from Astro", overwrite=True)
        return container.download_blob("astro.txt").readall().decode()

    write_and_read("{{ var.value.blob_url }}")


blob_round_trip()
