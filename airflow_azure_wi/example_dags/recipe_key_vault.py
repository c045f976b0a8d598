"""Key Vault: read a secret.

Install: `azure-keyvault-secrets`, which the stock Azure provider brings. Role: Key Vault Secrets User.
Tested by running it against an HTTPS recorder that refuses the first request, as Key Vault does.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

VAULT_URL = "https://my-vault.vault.azure.net"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_key_vault():
    @task
    def read_secret():
        from azure.keyvault.secrets import SecretClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(SecretClient, vault_url=VAULT_URL) as vault:
            secret = vault.get_secret("api-key")
        # Use secret.value here. What a task returns is stored, so never return it.
        return {"name": secret.name, "version": secret.properties.version, "length": len(secret.value or "")}

    read_secret()


recipe_key_vault()
