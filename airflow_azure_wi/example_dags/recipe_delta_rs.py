"""delta-rs: append to a Delta table in Azure Storage and read it.

Install: `deltalake` and `pyarrow`. Role: Storage Blob Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

TABLE = "abfss://recipes@acct.dfs.core.windows.net/delta/orders"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_delta_rs():
    @task
    def append_and_read():
        import pyarrow
        from deltalake import DeltaTable, write_deltalake

        # delta-rs takes no credential object. With these ids and the path of the federated token, it signs in by itself
        # as often as it needs to. An access token as "bearer_token" would expire in the middle of a long job.
        storage_options = AzureWorkloadIdentityHook("azure_wi").environment()
        orders = pyarrow.table({"city": ["Utrecht", "Lyon"], "orders": [12, 7]})
        write_deltalake(TABLE, orders, mode="append", storage_options=storage_options)
        table = DeltaTable(TABLE, storage_options=storage_options)
        return {"version": table.version(), "rows": table.to_pyarrow_table().to_pylist()}

    append_and_read()


recipe_delta_rs()
