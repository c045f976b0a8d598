"""A task that defers, a trigger that asks for an access token in the triggerer's event loop, and a client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pendulum
from airflow.models.baseoperator import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow.models.dag import DAG


class TokenTrigger(BaseTrigger):
    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (f"{type(self).__module__}.{type(self).__name__}", {"conn_id": self.conn_id})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        hook = AzureWorkloadIdentityHook(self.conn_id)
        tokens = await asyncio.gather(*(hook.aget_token("https://storage.azure.com/.default") for _ in range(20)))
        yield TriggerEvent({"different tokens": len({token.token for token in tokens})})


class TokenOperator(BaseOperator):
    def execute(self, context: Any) -> None:
        self.defer(trigger=TokenTrigger("azure_wi"), method_name="resume")

    def resume(self, context: Any, event: dict[str, int]) -> None:
        from azure.storage.blob import BlobServiceClient

        print("resumed with", event)
        url = "https://recorded.blob.core.windows.net"
        AzureWorkloadIdentityHook("azure_wi").get_client(BlobServiceClient, account_url=url).get_account_information()


with DAG("deferred_token", schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC")):
    TokenOperator(task_id="defer")
