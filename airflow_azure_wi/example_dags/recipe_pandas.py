"""pandas: write a Parquet file to Azure Storage and read it back.

Install: `pandas` and `pyarrow`; the stock Azure provider brings `adlfs`. Role: Storage Blob Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

PATH = "abfs://recipes/pandas/orders.parquet"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_pandas():
    @task
    def write_and_read():
        import pandas

        # They hold the credential itself, which gets a new access token when one is due.
        storage_options = AzureWorkloadIdentityHook("azure_wi").storage_options("acct")
        orders = pandas.DataFrame({"city": ["Utrecht", "Lyon"], "orders": [12, 7]})
        orders.to_parquet(PATH, storage_options=storage_options)
        found = pandas.read_parquet(PATH, storage_options=storage_options)
        return found.to_dict("records")

    write_and_read()


recipe_pandas()
