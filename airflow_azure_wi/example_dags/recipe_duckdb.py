"""DuckDB: write a Parquet file to Azure Storage and query all files in a folder.

Install: `duckdb`; the stock Azure provider brings `adlfs`. Role: Storage Blob Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_duckdb():
    @task
    def write_and_query():
        import duckdb
        from adlfs import AzureBlobFileSystem

        storage_options = AzureWorkloadIdentityHook("azure_wi").storage_options("acct")
        with duckdb.connect() as database:
            database.register_filesystem(AzureBlobFileSystem(**storage_options))
            database.sql("CREATE TABLE orders AS FROM (VALUES ('Utrecht', 12), ('Lyon', 7)) orders(city, number)")
            database.sql("COPY orders TO 'abfs://recipes/duckdb/orders.parquet'")
            return database.sql("FROM 'abfs://recipes/duckdb/*.parquet' WHERE number > 10").fetchall()

    write_and_query()


recipe_duckdb()
