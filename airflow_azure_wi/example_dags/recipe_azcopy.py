"""azcopy in a BashOperator: copy blobs within a storage account.

Install: in the workers' image, an azcopy whose `azcopy login --help` mentions `workload`.
Role: Storage Blob Data Contributor.
Tested by running it with a stand-in for azcopy that signs in with its environment.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.operators.bash import BashOperator

CONTAINER = "https://acct.blob.core.windows.net/recipes"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_azcopy():
    @task
    def environment():
        return AzureWorkloadIdentityHook("azure_wi").environment()

    BashOperator(
        task_id="copy",
        bash_command=f"azcopy copy '{CONTAINER}/inbox/*' '{CONTAINER}/archive/' --recursive",
        env=environment(),
        append_env=True,
    )


recipe_azcopy()
