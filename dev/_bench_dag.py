"""The DAG that `dev/bench` runs in a whole Airflow: warm calls of the hook, timed in a task."""

from datetime import timedelta

from airflow.sdk import dag, task


@dag(schedule="@once", is_paused_upon_creation=False)
def bench_in_a_task() -> None:
    """One task, which writes what it measured to the file that BENCH_RESULT names."""

    # The scheduler may be up before the API server, without which no task runs.
    @task(retries=100, retry_delay=timedelta(seconds=2))
    def measure() -> None:
        import json
        import os
        import statistics
        import timeit
        from pathlib import Path
        from typing import Any

        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import CommsDecoder
        from airflow.sdk.log import mask_secret
        from azure.identity import WorkloadIdentityCredential

        from airflow_azure_wi import AzureWorkloadIdentityHook

        scope = "https://storage.azure.com/.default"
        hook, raw = AzureWorkloadIdentityHook("azure_wi"), WorkloadIdentityCredential()
        token = hook.get_token(scope).token
        raw.get_token(scope)
        calls = {
            "hook.get_token": lambda: hook.get_token(scope),
            "hook.get_credential": hook.get_credential,
            "raw.get_token": lambda: raw.get_token(scope),
            "mask_secret": lambda: mask_secret(token),
        }
        measured: dict[str, Any] = {
            name: statistics.median(timeit.repeat(call, number=1, repeat=2000)) * 1e6 for name, call in calls.items()
        }
        # `airflow dags test` would have a supervisor in this process, which costs next to nothing.
        measured["is_supervised"] = isinstance(task_runner.SUPERVISOR_COMMS, CommsDecoder)
        unfinished = Path(os.environ["BENCH_RESULT"] + ".unfinished")
        unfinished.write_text(json.dumps(measured))
        unfinished.rename(os.environ["BENCH_RESULT"])

    measure()


bench_in_a_task()
