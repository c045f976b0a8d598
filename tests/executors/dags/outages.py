"""For each outage, twenty tasks that need an access token, and a stock trigger that needs one in the triggerer."""

import os
from datetime import timedelta

from airflow.providers.microsoft.azure.triggers.wasb import WasbBlobSensorTrigger
from airflow.sdk import BaseOperator, dag, get_current_context, task

from airflow_azure_wi import AzureWorkloadIdentityHook, at

OUTAGES = ("http_500", "closed_port", "hang", "no_token_file", "no_federated_credential", "clock", "restart")


class BlobSensor(BaseOperator):
    """The stock sensor, but without the look at the blob that a worker takes before the triggerer does."""

    def __init__(self, *, container: str, conn_id: str, **kwargs):
        super().__init__(**kwargs)
        self.container = container
        self.conn_id = conn_id

    def execute(self, context):
        trigger = WasbBlobSensorTrigger(self.container, "awaited.txt", wasb_conn_id=self.conn_id, poke_interval=1)
        self.defer(trigger=trigger, method_name="found")

    def found(self, context, event):
        if event["status"] != "success":
            raise RuntimeError(event["message"])


def outage(name: str):
    connection = f"azure_{name}"

    @dag(
        dag_id=f"outage_{name}",
        schedule=None,
        is_paused_upon_creation=False,
        max_active_tasks=32,
        default_args={"retries": 50, "retry_delay": timedelta(seconds=1)},
    )
    def twenty_tasks_and_a_sensor():
        @task
        def present_a_token(number: int) -> None:
            from urllib.request import Request, urlopen

            # Half of the tasks share their access tokens on disk.
            os.environ["AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE"] = ("memory", "disk")[number % 2]
            token = AzureWorkloadIdentityHook(connection).get_token("https://storage.azure.com/.default").token
            resource = f"{get_current_context()['dag_run'].conf['resource']}/{number}"
            urlopen(Request(resource, headers={"Authorization": f"Bearer {token}"})).close()

        present_a_token.expand(number=list(range(20)))
        account = at(connection, "https://acct.blob.core.windows.net")
        BlobSensor(task_id="wait_for_a_blob", container=name, conn_id=account)

    twenty_tasks_and_a_sensor()


for name in OUTAGES:
    outage(name)
