"""The Azure CLI in a BashOperator: sign in and run a command.

Install: the Azure CLI, in the workers' image. Role: Reader on the subscription, for this command.
Tested by running it with a stand-in for `az` that signs in with the token that it gets.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task
    from airflow.operators.bash import BashOperator

# Each task has its own directory, so tasks on one machine do not sign each other out. With @, az reads the token from
# its file, which keeps it off the command line.
LIST_GROUPS = """
set -e
export AZURE_CONFIG_DIR="$(mktemp -d)"
trap 'rm -rf "$AZURE_CONFIG_DIR"' EXIT
az login --service-principal --username "$AZURE_CLIENT_ID" --tenant "$AZURE_TENANT_ID" \\
    --federated-token "@$AZURE_FEDERATED_TOKEN_FILE" --output none
az group list --query '[].name' --output tsv
"""


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_azure_cli():
    @task
    def environment():
        return AzureWorkloadIdentityHook("azure_wi").environment()

    BashOperator(task_id="list_groups", bash_command=LIST_GROUPS, env=environment(), append_env=True)


recipe_azure_cli()
