"""Recipes whose service Azurite plays."""

from airflow_azure_wi.testing import OfflineAzure
from tests.recipes.conftest import RunRecipes

STORAGE = "https://storage.azure.com/.default"


def test_storage(run_recipes: RunRecipes, azure: OfflineAzure) -> None:
    runs = run_recipes("recipe_blob")
    assert runs["recipe_blob"].returned == [{"greetings/hello.txt": "Hello from a blob"}]
    assert [(exchange.scope, exchange.error_code) for exchange in azure.entra.exchanges] == [(STORAGE, None)]
