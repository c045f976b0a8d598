"""Terraform in a BashOperator: apply a configuration with the azurerm provider.

Install: Terraform, in the workers' image. Role: what the configuration needs, such as Contributor on a resource group.
Tested by running it with a stand-in for Terraform that signs in with its environment.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.operators.bash import BashOperator

CONFIGURATION = "/opt/airflow/terraform"
APPLY = f"""
set -e
terraform -chdir={CONFIGURATION} init -input=false
terraform -chdir={CONFIGURATION} apply -input=false -auto-approve
"""


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_terraform():
    @task
    def environment():
        return AzureWorkloadIdentityHook("azure_wi").environment()

    BashOperator(task_id="apply", bash_command=APPLY, env=environment(), append_env=True)


recipe_terraform()
