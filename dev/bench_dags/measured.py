"""The DAGs that `dev/bench` runs in a whole Airflow. Each task measures, and returns what it measured."""

import os
from typing import Any

from airflow.sdk import dag, task


@dag(schedule=None, is_paused_upon_creation=False)
def warm_calls() -> None:
    """One task, whose calls need no exchange."""

    @task
    def measure() -> dict[str, float]:
        import statistics
        import timeit

        from airflow.sdk.log import mask_secret
        from azure.identity import WorkloadIdentityCredential

        from airflow_azure_wi import AzureWorkloadIdentityHook

        scope = "https://storage.azure.com/.default"
        hook, raw = AzureWorkloadIdentityHook("azure_wi"), WorkloadIdentityCredential()
        token = hook.get_token(scope).token
        raw.get_token(scope)
        calls = {
            "ours.get_token": lambda: hook.get_token(scope),
            "ours.get_credential": hook.get_credential,
            "raw.get_token": lambda: raw.get_token(scope),
            "mask_secret": lambda: mask_secret(token),
        }
        return {
            name: statistics.median(timeit.repeat(call, number=1, repeat=2000)) * 1e6 for name, call in calls.items()
        }

    measure()


@dag(schedule=None, is_paused_upon_creation=False, max_active_tasks=200, params={"conn_id": "azure_wi"})
def databricks() -> None:
    """As many tasks as BENCH_TASKS says, each of which asks a workspace one question."""

    @task
    def ask(number: int, params: Any = None) -> dict[str, float]:
        from time import process_time

        from airflow.providers.databricks.hooks.databricks import DatabricksHook

        # How long it takes says more about the other tasks that start at the same time.
        used = process_time()
        DatabricksHook(params["conn_id"]).find_job_id_by_name("nightly")
        return {"CPU ms": (process_time() - used) * 1e3}

    @task
    def medians(measured: Any) -> dict[str, float]:
        import statistics

        rows = list(measured)
        return {unit: statistics.median(row[unit] for row in rows) for unit in rows[0]}

    medians(ask.expand(number=list(range(int(os.environ["BENCH_TASKS"])))))


@dag(schedule=None, is_paused_upon_creation=False)
def sensors() -> None:
    """As many tasks as BENCH_SENSORS says. None of them runs: dev/_bench_airflow.py defers them."""

    @task
    def wait(number: int) -> None:
        pass

    wait.expand(number=list(range(int(os.environ["BENCH_SENSORS"]))))


warm_calls()
databricks()
sensors()
