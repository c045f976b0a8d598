"""Cosmos DB for NoSQL: write an item, read it and query for it.

Install: `azure-cosmos`. Role: Cosmos DB Built-in Data Contributor, which only `az cosmosdb sql role assignment create`
can assign. The database and the container must exist: that role cannot create them.
Tested by running it against an HTTPS recorder that answers as Cosmos DB would.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

ENDPOINT = "https://acct.documents.azure.com"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_cosmos_db():
    @task
    def write_and_query():
        from azure.cosmos import CosmosClient

        hook = AzureWorkloadIdentityHook("azure_wi")
        with hook.get_client(CosmosClient, url=ENDPOINT) as account:
            orders = account.get_database_client("recipes").get_container_client("orders")
            orders.upsert_item({"id": "1", "city": "Utrecht", "orders": 12})
            read = orders.read_item("1", partition_key="Utrecht")
            many = orders.query_items(
                "SELECT c.id, c.orders FROM c WHERE c.orders > @few",
                parameters=[{"name": "@few", "value": 10}],
                partition_key="Utrecht",
            )
            return {"read": read["orders"], "many": list(many)}

    write_and_query()


recipe_cosmos_db()
