"""Data Lake Storage: write a file, list its directory and read it.

Install: `azure-storage-file-datalake`, which the stock Azure provider brings. Role: Storage Blob Data Contributor.
Tested by running it against an HTTPS recorder that answers as Data Lake Storage would: Azurite has no such endpoint.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

ACCOUNT_URL = "https://lake.dfs.core.windows.net"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_data_lake():
    @task
    def write_and_read():
        from azure.storage.filedatalake import DataLakeServiceClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(DataLakeServiceClient, account_url=ACCOUNT_URL) as lake:
            files = lake.get_file_system_client("recipes")
            if not files.exists():
                files.create_file_system()
            files.get_file_client("greetings/hello.txt").upload_data(b"Hello from a lake", overwrite=True)
            names = [path.name for path in files.get_paths("greetings") if not path.is_directory]
            return {name: files.get_file_client(name).download_file().readall().decode() for name in names}

    write_and_read()


recipe_data_lake()
