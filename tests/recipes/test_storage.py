"""Recipes whose service Azurite plays."""

from airflow_azure_wi.testing import OfflineAzure
from tests.recipes.conftest import RunRecipes

STORAGE = "https://storage.azure.com/.default"
ORDERS = [{"city": "Utrecht", "orders": 12}, {"city": "Lyon", "orders": 7}]

# What each returns that is right. The first makes the container that others write to.
RETURNED = {
    "recipe_blob": {"greetings/hello.txt": "Hello from a blob"},
    "recipe_queue": ["Hello from a queue"],
    "recipe_tables": {"Utrecht": 12},
    "recipe_pandas": ORDERS,
    "recipe_polars": ORDERS[:1],
    "recipe_duckdb": [("Utrecht", 12)],
    "recipe_delta_rs": {"version": 0, "rows": ORDERS},
}


def test_storage(run_recipes: RunRecipes, azure: OfflineAzure) -> None:
    runs = run_recipes(*RETURNED)
    assert {recipe: run.returned for recipe, run in runs.items()} == {
        recipe: [returned] for recipe, returned in RETURNED.items()
    }
    ours, of_delta_rs = (
        [exchange for exchange in azure.entra.exchanges if exchange.user_agent.startswith(agent)]
        for agent in ("azsdk-python-identity/", "object_store/")
    )
    assert [exchange.scope for exchange in ours] == [STORAGE], "six recipes, one exchange"
    assert {exchange.client_id for exchange in of_delta_rs} == {azure.identity.client_id}
    assert [exchange.error_code for exchange in azure.entra.exchanges] == [None] * (len(ours) + len(of_delta_rs))
