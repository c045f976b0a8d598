"""Databricks: start a job and wait for it, with access tokens from Entra.

Install: `databricks-sdk`. Grant, in the workspace: add the managed identity as a service principal (by its client id),
and give it CAN MANAGE RUN on the job.
Tested by running it against a stand-in for the workspace's API.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

WORKSPACE = "https://adb-1234567890123456.7.azuredatabricks.net"
SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"  # Databricks, the same in every tenant


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_databricks():
    @task
    def run_job():
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.credentials_provider import credentials_strategy
        from databricks.sdk.service.jobs import RunResultState

        hook = AzureWorkloadIdentityHook("azure_wi")

        @credentials_strategy("airflow-azure-wi", [])
        def entra(config):
            # Called before each request, because a job can outlive a token.
            return lambda: {"Authorization": f"Bearer {hook.get_token(SCOPE).token}"}

        run = WorkspaceClient(host=WORKSPACE, credentials_strategy=entra).jobs.run_now_and_wait(job_id=42)
        if run.state is None or run.state.result_state != RunResultState.SUCCESS:
            raise RuntimeError(f"{run.run_page_url} ended with {run.state}")
        return run.run_page_url

    run_job()


recipe_databricks()
