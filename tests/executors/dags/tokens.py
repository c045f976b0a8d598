"""Tasks that run at once as far as the executor lets them, each of which needs an access token: 200, and 50."""

import os
from urllib.request import Request, urlopen

from airflow.sdk import dag, task

from airflow_azure_wi import AzureWorkloadIdentityHook


def tokens(dag_id: str, tasks: int) -> None:
    @dag(dag_id=dag_id, schedule=None, is_paused_upon_creation=False, max_active_tasks=tasks)
    def all_present_one():
        @task
        def present_a_token(number: int) -> None:
            token = AzureWorkloadIdentityHook("azure_wi").get_token("https://storage.azure.com/.default").token
            # Answers 401, which fails the task, to a token that is not the right one.
            resource = f"{os.environ['RESOURCE']}/{os.environ['WORKER']}/{number}"
            urlopen(Request(resource, headers={"Authorization": f"Bearer {token}"})).close()

        present_a_token.expand(number=list(range(tasks)))

    all_present_one()


tokens("two_hundred_tokens", 200)
tokens("fifty_tokens", 50)
