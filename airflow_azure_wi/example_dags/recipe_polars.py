"""Polars: write a Parquet file to Azure Storage and query it there.

Install: `polars`. Role: Storage Blob Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

PATH = "abfss://recipes@acct.dfs.core.windows.net/polars/orders.parquet"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_polars():
    @task
    def write_and_query():
        import polars

        # Polars asks it for a new access token when one is due, even in the middle of a long query.
        provider = polars.CredentialProviderAzure(credential=AzureWorkloadIdentityHook("azure_wi").get_credential())
        orders = polars.DataFrame({"city": ["Utrecht", "Lyon"], "orders": [12, 7]})
        orders.write_parquet(PATH, credential_provider=provider)
        many = polars.scan_parquet(PATH, credential_provider=provider).filter(polars.col("orders") > 10)
        return many.collect().to_dicts()

    write_and_query()


recipe_polars()
