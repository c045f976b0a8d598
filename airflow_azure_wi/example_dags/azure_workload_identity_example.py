"""Blobs, a queue, a table and a plain HTTP call, all through one connection, ``azure_wi``, and with no secret.

Run it with the addresses of your own storage account. The managed identity needs roles to read and write its data:
``{"blob": "https://ACCOUNT.blob.core.windows.net", "queue": "https://ACCOUNT.queue.core.windows.net",
"table": "https://ACCOUNT.table.core.windows.net"}``.

The tasks import the Azure SDK where they use it: Airflow parses this file far more often than it runs it.
"""

import asyncio
import json

import pendulum

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

CONNECTION = "azure_wi"
CONTAINER = "airflow-azure-wi"
TABLE = "airflowazurewi"


@dag(
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    tags=["example", "azure"],
    params={
        "blob": "https://ACCOUNT.blob.core.windows.net",
        "queue": "https://ACCOUNT.queue.core.windows.net",
        "table": "https://ACCOUNT.table.core.windows.net",
    },
)
def azure_workload_identity_example():
    @task
    def blob(params=None):
        from azure.storage.blob import BlobServiceClient

        hook = AzureWorkloadIdentityHook(CONNECTION)
        with hook.get_client(BlobServiceClient, account_url=params["blob"]) as service:
            container = service.get_container_client(CONTAINER)
            if not container.exists():
                container.create_container()
            container.upload_blob("greeting.txt", b"Hello from a blob", overwrite=True)
            found = container.download_blob("greeting.txt").readall().decode()
        return report("BlobServiceClient", f"{CONTAINER}/greeting.txt", found)

    @task
    def blob_async(params=None):
        from azure.storage.blob.aio import BlobServiceClient

        async def copy():
            hook = AzureWorkloadIdentityHook(CONNECTION)
            async with hook.get_async_client(BlobServiceClient, account_url=params["blob"]) as service:
                container = service.get_container_client(CONTAINER)
                await container.upload_blob("greeting-async.txt", b"Hello from a coroutine", overwrite=True)
                return (await (await container.download_blob("greeting-async.txt")).readall()).decode()

        return report("aio.BlobServiceClient", f"{CONTAINER}/greeting-async.txt", asyncio.run(copy()))

    @task
    def queue(params=None):
        from azure.storage.queue import QueueServiceClient

        hook = AzureWorkloadIdentityHook(CONNECTION)
        with hook.get_client(QueueServiceClient, account_url=params["queue"]) as service:
            if CONTAINER not in {queue.name for queue in service.list_queues()}:
                service.create_queue(CONTAINER)
            messages = service.get_queue_client(CONTAINER)
            messages.send_message("Hello from a queue")
            [found] = messages.receive_messages(max_messages=1)
            messages.delete_message(found)
        return report("QueueServiceClient", f"{CONTAINER}/{found.id}", found.content)

    @task
    def table(params=None):
        from azure.data.tables import TableServiceClient

        hook = AzureWorkloadIdentityHook(CONNECTION)
        with hook.get_client(TableServiceClient, endpoint=params["table"]) as service:
            entities = service.create_table_if_not_exists(TABLE)
            entities.upsert_entity({"PartitionKey": "greetings", "RowKey": "1", "text": "Hello from a table"})
            found = entities.get_entity("greetings", "1")["text"]
        return report("TableServiceClient", f"{TABLE}/greetings/1", found)

    @task
    def token(params=None):
        """Use the access token itself, here in a plain HTTP call, for services without an Azure SDK client."""
        import requests

        access_token = AzureWorkloadIdentityHook(CONNECTION).get_token("https://storage.azure.com/.default").token
        answer = requests.get(
            f"{params['blob']}/{CONTAINER}/greeting.txt",
            headers={"Authorization": f"Bearer {access_token}", "x-ms-version": "2023-11-03"},
            timeout=30,
        )
        answer.raise_for_status()
        return report("get_token", f"{CONTAINER}/greeting.txt", answer.text)

    blob() >> [blob_async(), token()]
    queue()
    table()


def report(client, wrote, read_back):
    found = {"client": client, "object": wrote, "read_back": read_back}
    print(json.dumps(found))
    return found


azure_workload_identity_example()
