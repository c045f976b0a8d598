"""Stock connections of type azure that name a workload identity, as Astro's Environment Manager makes them."""

import pytest
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from azure.identity import DefaultAzureCredential

from airflow_azure_wi import AzureWorkloadIdentityHook, airflow_compat, at
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.recorder import Recorder
from tests.stock.cases import CASES, Case
from tests.stock.conftest import Connect
from tests.stock.test_left_out import DANGEROUS, OPTIONS, STORAGE_CASES, tokens_of

OPTION = "AIRFLOW__AZURE_WORKLOAD_IDENTITY__SERVE_STOCK_CONNECTIONS"
URL = "https://recorded.blob.core.windows.net"


def ids_of(identity: ManagedIdentity) -> dict[str, object]:
    """Return the extra that Astro's Environment Manager writes, by Astronomer's guide."""
    return {
        "managed_identity_client_id": identity.client_id,
        "workload_identity_tenant_id": identity.tenant_id,
        "subscriptionId": identity.subscription_id,
    }


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPTION, "True")
    airflow_compat.start_over()


@pytest.fixture
def azure_prod(connect: Connect, identity: ManagedIdentity, workload: OfflineAzure) -> str:
    return connect("azure_prod", "azure", extra=ids_of(identity) | {"use_azure_identity_object": True})


def test_an_endpoint_of_the_call_asks_for_this_package(
    azure_prod: str, recorder: Recorder, identity: ManagedIdentity
) -> None:
    [case, _] = STORAGE_CASES
    assert tokens_of(case, azure_prod, recorder) == {(case.host, case.audience, identity.client_id)}
    credential = AzureBaseHook(conn_id=at(azure_prod, URL)).get_credential()
    assert credential is AzureWorkloadIdentityHook(azure_prod).get_credential()


def test_a_plain_id_is_not_touched_by_default(azure_prod: str, identity: ManagedIdentity) -> None:
    read = AzureBaseHook.get_connection(azure_prod)
    assert read.extra_dejson == ids_of(identity) | {"use_azure_identity_object": True}
    assert type(AzureBaseHook(conn_id=azure_prod).get_credential()) is DefaultAzureCredential


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("case", [*CASES, *STORAGE_CASES], ids=lambda case: case.name)
def test_the_option_serves_plain_ids_in_all_stock_hooks(
    case: Case, connect: Connect, azure: OfflineAzure, recorder: Recorder, identity: ManagedIdentity
) -> None:
    azure.entra.register_resource("https://*.asazure.windows.net")
    connect("azure_prod", "azure", extra=ids_of(identity) | OPTIONS | DANGEROUS | {"key_path": "", "key_json": ""})
    assert tokens_of(case, "azure_prod", recorder) == {(case.host, case.audience, identity.client_id)}


@pytest.mark.usefixtures("served")
def test_the_option_shares_the_credential(azure_prod: str) -> None:
    """With it come rotation of the federated token and identity bindings, which are the credential's own."""
    of_stock = AzureBaseHook(conn_id=azure_prod).get_credential()
    assert of_stock is AzureWorkloadIdentityHook(azure_prod).get_credential()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("conn_type", "changes", "fields"),
    [
        ("wasb", {}, {}),
        ("azure", {"workload_identity_tenant_id": ""}, {}),
        ("azure", {"managed_identity_client_id": None}, {}),
        ("azure", {"key_path": "/etc/key.json"}, {}),
        ("azure", {"key_json": {"clientId": "another"}}, {}),
        ("azure", {}, {"login": "app", "password": "secret"}),
    ],
)
def test_other_stock_connections_are_not_touched(
    conn_type: str,
    changes: dict[str, object],
    fields: dict[str, object],
    connect: Connect,
    identity: ManagedIdentity,
) -> None:
    extra = ids_of(identity) | changes
    connect("other", conn_type, extra=extra, **fields)
    read = WasbHook.get_connection("other")
    assert read.extra_dejson == extra
    assert read.password == fields.get("password")
    with pytest.raises(Exception, match="other") as raised:
        WasbHook.get_connection(at("other", URL))
    assert isinstance(raised.value, EndpointError) or isinstance(raised.value.__cause__, EndpointError)


@pytest.mark.parametrize("value", ["perhaps", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"])
def test_a_mistake_in_the_option_leaves_them_alone_and_is_named(
    value: str,
    azure_prod: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(OPTION, value)
    airflow_compat.start_over()
    for _ in range(2):
        assert type(AzureBaseHook(conn_id=azure_prod).get_credential()) is DefaultAzureCredential
    assert caplog.text.count("[azure_workload_identity] serve_stock_connections") == 1
    assert "c2lnbmf0dxjl" not in caplog.text.lower()


@pytest.mark.parametrize(("is_served", "found"), [(False, "DefaultAzureCredential"), (True, "as [azure_workload")])
def test_the_doctor_says_where_such_a_connection_is_served(
    is_served: bool, found: str, azure_prod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPTION, str(is_served))
    airflow_compat.start_over()
    hook = AzureWorkloadIdentityHook(azure_prod)
    report = hook.examine()
    [result] = [result for result in report.results if result.name == "connection type"]
    assert (report.is_ok, found in result.found) == (True, True)
    assert hook.test_connection()[0] is True
