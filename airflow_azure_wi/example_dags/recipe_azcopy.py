"""azcopy in a BashOperator: copy blobs within a storage account.

Install: an azcopy whose `azcopy login --help` names `workload`, in the workers' image.
Role: Storage Blob Data Contributor.
Tested by running it with a stand-in for azcopy, which signs in with what it finds in its environment.
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
