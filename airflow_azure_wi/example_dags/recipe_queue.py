"""Queues: send a message, receive it and delete it.

Install: `azure-storage-queue`. Role: Storage Queue Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

ACCOUNT_URL = "https://acct.queue.core.windows.net"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_queue():
    @task
    def send_and_receive():
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.queue import QueueClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(QueueClient, account_url=ACCOUNT_URL, queue_name="recipes") as queue:
            try:
                queue.create_queue()
            except ResourceExistsError:
                print("The queue already exists")
            queue.send_message("Hello from a queue")
            received = []
            for message in queue.receive_messages(visibility_timeout=60):
                received.append(message.content)
                # A message that is not deleted within 60 seconds is delivered again.
                queue.delete_message(message)
            return received

    send_and_receive()


recipe_queue()
