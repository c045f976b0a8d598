"""Recipes for storage, for libraries that read from it, and for Azure's services.

Azurite plays blobs, queues and tables. For the others a recorder or a stand-in answers in the form in which they
answer, and writes down with what access token they were asked.
"""

import re

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.recipes.conftest import RunRecipes
from tests.recorder import Answer, Recorder
from tests.service_bus import ServiceBus

SECRET = "pa55-w0rd"
ORDERS = [{"city": "Utrecht", "orders": 12}, {"city": "Lyon", "orders": 7}]

# What the tasks of each return. The first makes the container that others write to.
RETURNED = {
    "recipe_blob": [{"greetings/hello.txt": "Hello from a blob"}],
    "recipe_queue": [["Hello from a queue"]],
    "recipe_tables": [{"Utrecht": 12}],
    "recipe_pandas": [ORDERS],
    "recipe_polars": [ORDERS[:1]],
    "recipe_duckdb": [[("Utrecht", 12)]],
    "recipe_delta_rs": [{"version": 0, "rows": ORDERS}],
    "recipe_data_lake": [{"greetings/hello.txt": "Hello from a lake"}],
    "recipe_key_vault": [{"name": "api-key", "version": "3c2a", "length": len(SECRET)}],
    "recipe_data_factory": [],
    "recipe_cosmos_db": [{"read": 12, "many": [{"id": "1", "orders": 12}]}],
    "recipe_service_bus": [["Hello from a bus"]],
}

LAKE = (
    Answer("GET lake.blob.core.windows.net/recipes$", "", 404, {"x-ms-error-code": "ContainerNotFound"}),
    Answer("PUT lake.blob.core.windows.net/recipes$", "", 201),
    Answer("PUT lake.dfs.core.windows.net/recipes/greetings/hello.txt$", "", 201),
    Answer("PATCH lake.dfs.core.windows.net/recipes/greetings/hello.txt[?].*action=append", "", 202),
    Answer("PATCH lake.dfs.core.windows.net/recipes/greetings/hello.txt[?].*action=flush", "", 200),
    Answer("GET lake.dfs.core.windows.net/recipes$", {"paths": [{"name": "greetings/hello.txt"}]}),
    Answer("GET lake.blob.core.windows.net/", b"Hello from a lake", 206, {"Content-Range": "bytes 0-16/17"}),
)
VAULT = Answer(
    "GET my-vault.vault.azure.net/secrets/api-key/",
    {"value": SECRET, "id": "https://my-vault.vault.azure.net/secrets/api-key/3c2a"},
)
DATA_FACTORY = (
    Answer("POST .*/analytics/.*/my-factory/pipelines/load-orders/createRun$", {"runId": "r"}),
    Answer("GET .*/my-factory/pipelineruns/r$", {"runId": "r", "status": "Succeeded"}),
)
COSMOS_DB = (
    Answer("GET acct.documents.azure.com/$", {"id": "acct"}),
    Answer(
        "GET .*/colls/orders/$", {"id": "orders", "_rid": "r", "partitionKey": {"paths": ["/city"], "kind": "Hash"}}
    ),
    Answer("GET .*/colls/orders/docs/1/$", {"id": "1", "city": "Utrecht", "orders": 12}),
    # To write an item and to query for items are the same request, but for a header.
    Answer("POST .*/colls/orders/docs/$", {"id": "1", "Documents": [{"id": "1", "orders": 12}]}),
)

# The audience of the access tokens that arrived, by where they did.
AUDIENCES = {
    "lake.blob.core.windows.net": "https://storage.azure.com",
    "lake.dfs.core.windows.net": "https://storage.azure.com",
    "my-vault.vault.azure.net": "https://vault.azure.net",
    "management.azure.com": "https://management.azure.com",
    "acct.documents.azure.com": "https://acct.documents.azure.com",
    "sb://my-namespace.servicebus.windows.net/recipes": "https://servicebus.azure.net/",
}
SCOPES = sorted({f"{audience}/.default" for audience in AUDIENCES.values()})


@pytest.fixture
def bus(azure: OfflineAzure) -> ServiceBus:
    bus = ServiceBus()
    bus.serve(azure, "my-namespace.servicebus.windows.net")
    return bus


def challenge_of(azure: OfflineAzure) -> Answer:
    """What a vault answers to a request without an access token: where to get one."""
    where = f"https://login.microsoftonline.com/{azure.identity.tenant_id}"
    header = {"WWW-Authenticate": f'Bearer authorization="{where}", resource="https://vault.azure.net"'}
    return Answer("GET my-vault.vault.azure.net/", {}, 401, header, to_anonymous=True)


def test_azure(run_recipes: RunRecipes, azure: OfflineAzure, recorder: Recorder, bus: ServiceBus) -> None:
    recorder.answers = (*LAKE, challenge_of(azure), VAULT, *DATA_FACTORY, *COSMOS_DB)
    runs = run_recipes(*RETURNED)
    assert {recipe: run.returned for recipe, run in runs.items()} == RETURNED

    tokens = [(request.host, request.claims) for request in recorder.requests] + [*bus.tokens.items()]
    assert [host for host, claims in tokens if claims is None] == ["my-vault.vault.azure.net"], "asked for the way"
    signed = [(host, claims) for host, claims in tokens if claims is not None]
    assert {host: claims["aud"] for host, claims in signed} == AUDIENCES
    assert {claims["appid"] for _, claims in signed} == {azure.identity.client_id}
    sent = "\n".join(request.body.decode() for request in recorder.requests)
    for body in ("Hello from a lake", r'\{"run": ?"manual__', r'"city": ?"Utrecht"'):
        assert re.search(body, sent), "what the recipes wrote, and what they gave a pipeline"
    assert bus.outcomes == ["accepted"], "the message that was received was completed"

    exchanges = azure.entra.exchanges
    of_delta_rs = [exchange for exchange in exchanges if exchange.user_agent.startswith("object_store/")]
    assert sorted(exchange.scope for exchange in exchanges if exchange not in of_delta_rs) == SCOPES, "one for each"
    assert {exchange.client_id for exchange in of_delta_rs} == {azure.identity.client_id}, "it signs in by itself"
    assert {exchange.error_code for exchange in exchanges} == {None}
    said = "".join(run.said for run in runs.values())
    assert azure.projected_token.path.read_text() not in said
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said), "no token is ever printed"
    assert SECRET not in said
