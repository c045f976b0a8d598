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
        import time
        from collections.abc import Callable
        from pathlib import Path
        from typing import Any

        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import CommsDecoder
        from airflow.sdk.log import mask_secret
        from azure.identity import WorkloadIdentityCredential

        from airflow_azure_wi import AzureWorkloadIdentityHook

        def microseconds(call: Callable[[], Any]) -> float:
            times = []
            for _ in range(2000):
                begun = time.perf_counter()
                call()
                times.append(time.perf_counter() - begun)
            return statistics.median(times) * 1e6

        scope = "https://storage.azure.com/.default"
        hook = AzureWorkloadIdentityHook("azure_wi")
        raw = WorkloadIdentityCredential()
        token = hook.get_token(scope).token
        raw.get_token(scope)
        measured = {
            # `airflow dags test` would have a supervisor in this process, which costs next to nothing.
            "is_supervised": isinstance(task_runner.SUPERVISOR_COMMS, CommsDecoder),
            "hook.get_token": microseconds(lambda: hook.get_token(scope)),
            "hook.get_credential": microseconds(hook.get_credential),
            "raw.get_token": microseconds(lambda: raw.get_token(scope)),
            "mask_secret": microseconds(lambda: mask_secret(token)),
        }
        unfinished = Path(os.environ["BENCH_RESULT"] + ".unfinished")
        unfinished.write_text(json.dumps(measured))
        unfinished.rename(os.environ["BENCH_RESULT"])

    measure()


bench_in_a_task()
