"""A task that is told to end while it waits for an access token, and needs that token to clean up."""

import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator

from airflow_azure_wi import AzureWorkloadIdentityHook

SCOPE = "https://storage.azure.com/.default"


class Waiting(BaseOperator):
    def execute(self, context: Any) -> None:
        self.folder = Path(context["dag_run"].conf["folder"])
        self.hook = AzureWorkloadIdentityHook("azure_killed")
        self.hook.get_identity()
        (self.folder / "waiting").write_text(str(os.getpid()))
        self.hook.get_token(SCOPE)

    def on_kill(self) -> None:
        token = self.hook.get_token(SCOPE).token
        (self.folder / "cleaned up").write_text(f"with a token of {len(token)} characters")


with DAG("killed", schedule=None, is_paused_upon_creation=False):
    Waiting(task_id="wait")
