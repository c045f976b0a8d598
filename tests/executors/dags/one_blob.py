"""One task that reads one blob, as the documentation shows it."""

from airflow.sdk import dag, task

from airflow_azure_wi import AzureWorkloadIdentityHook


@dag(schedule=None, is_paused_upon_creation=False)
def one_blob():
    @task
    def read() -> None:
        from azure.storage.blob import BlobServiceClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(BlobServiceClient, account_url="https://acct.blob.core.windows.net") as blobs:
            blobs.get_blob_client("data", "awaited.txt").download_blob().readall()

    read()


one_blob()
