"""Blobs: write one, list it and read it back.

Install: nothing, the stock Azure provider brings `azure-storage-blob`. Role: Storage Blob Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

ACCOUNT_URL = "https://acct.blob.core.windows.net"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_blob():
    @task
    def write_and_read():
        from azure.storage.blob import BlobServiceClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(BlobServiceClient, account_url=ACCOUNT_URL) as blobs:
            container = blobs.get_container_client("recipes")
            if not container.exists():
                container.create_container()
            container.upload_blob("greetings/hello.txt", b"Hello from a blob", overwrite=True)
            names = [blob.name for blob in container.list_blobs(name_starts_with="greetings/")]
            return {name: container.download_blob(name).readall().decode() for name in names}

    write_and_read()


recipe_blob()
