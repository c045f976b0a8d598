"""Tables: write an entity and query it.

Install: `azure-data-tables`. Role: Storage Table Data Contributor.
Tested by running it against Azurite.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

ENDPOINT = "https://acct.table.core.windows.net"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_tables():
    @task
    def write_and_query():
        from azure.data.tables import TableServiceClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(TableServiceClient, endpoint=ENDPOINT) as service:
            table = service.create_table_if_not_exists("recipes")
            table.upsert_entity({"PartitionKey": "2026-01", "RowKey": "1", "city": "Utrecht", "orders": 12})
            found = table.query_entities("PartitionKey eq @month", parameters={"month": "2026-01"})
            return {entity["city"]: entity["orders"] for entity in found}

    write_and_query()


recipe_tables()
