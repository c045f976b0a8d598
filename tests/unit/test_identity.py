import json
import pickle
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection as SdkConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_azure_wi.clouds import CHINA, PUBLIC, US_GOVERNMENT, Cloud
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.identity import WorkloadIdentity, extra_of_connection, identity_from_connection
from tests.stored_connection import StoredConnection

CLIENT = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"

AZ_IDENTITY_CREATE = (Path(__file__).parent.parent / "data" / "az-identity-create.json").read_text()


def parse(extra: Any, environment: dict[str, str] | None = None, login: str | None = None) -> WorkloadIdentity:
    return WorkloadIdentity.from_extra(
        extra, source="connection 'azure_wi'", environment=environment or {}, login=login
    )


def problems_of(extra: Any, **kwargs: Any) -> str:
    with pytest.raises(IdentityError) as caught:
        parse(extra, **kwargs)
    return str(caught.value)


def test_the_three_fields_of_the_form() -> None:
    extra = {"clientId": CLIENT, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}
    assert parse(extra) == WorkloadIdentity(CLIENT, TENANT, SUBSCRIPTION)
    assert parse(json.dumps(extra)) == parse(extra)


def test_what_az_identity_create_prints_is_a_connection_as_it_is() -> None:
    assert parse(AZ_IDENTITY_CREATE) == WorkloadIdentity(CLIENT, TENANT, SUBSCRIPTION)


@pytest.mark.parametrize(
    "extra",
    [
        {"managed_identity_client_id": CLIENT, "workload_identity_tenant_id": TENANT, "subscriptionId": SUBSCRIPTION},
        {"client_id": CLIENT, "tenant_id": TENANT, "subscription_id": SUBSCRIPTION},
        {"managed_identity_client_id": CLIENT, "tenantId": TENANT, "subscription_id": SUBSCRIPTION},
    ],
)
def test_the_names_that_stock_connections_use(extra: dict[str, str]) -> None:
    assert parse(extra) == WorkloadIdentity(CLIENT, TENANT, SUBSCRIPTION)


def test_a_stock_connection_may_keep_the_client_id_in_its_login() -> None:
    assert parse({"tenantId": TENANT}, login=CLIENT).client_id == CLIENT


def test_a_client_id_in_the_extra_comes_before_the_login() -> None:
    assert parse({"clientId": CLIENT, "tenantId": TENANT}, login="someone").client_id == CLIENT


@pytest.mark.parametrize("absent", [None, "", "   "])
def test_null_empty_and_blank_mean_absent(absent: str | None) -> None:
    environment = {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT}
    extra = {"clientId": absent, "tenantId": absent, "subscriptionId": absent, "cloud_environment": absent}
    assert parse(extra, environment) == WorkloadIdentity(CLIENT, TENANT)
    assert parse(absent, environment) == WorkloadIdentity(CLIENT, TENANT)


def test_the_connection_comes_before_the_environment() -> None:
    other = "11111111-1111-1111-1111-111111111111"
    environment = {"AZURE_CLIENT_ID": other, "AZURE_TENANT_ID": other}
    assert parse({"clientId": CLIENT, "tenantId": TENANT}, environment) == WorkloadIdentity(CLIENT, TENANT)


def test_values_are_normalized() -> None:
    extra = {"clientId": f"  {CLIENT.upper()}\n", "tenantId": "Contoso.OnMicrosoft.com"}
    assert parse(extra) == WorkloadIdentity(CLIENT, "contoso.onmicrosoft.com")


@pytest.mark.parametrize(
    ("name", "cloud"),
    [("AzureCloud", "AzurePublicCloud"), ("azurechinacloud", "AzureChinaCloud"), ("AzureUSGovernment",) * 2],
)
def test_a_cloud_goes_by_the_names_of_the_azure_cli_too(name: str, cloud: str) -> None:
    assert parse({"clientId": CLIENT, "tenantId": TENANT, "cloud_environment": name}).cloud.name == cloud


def test_the_cloud_is_named_as_stock_connections_name_it() -> None:
    extra = {"clientId": CLIENT, "tenantId": TENANT, "cloud_environment": "AzureUSGovernment"}
    assert parse(extra).cloud == US_GOVERNMENT


def test_two_names_for_one_field_may_agree() -> None:
    extra = {"clientId": CLIENT, "client_id": CLIENT.upper(), "tenantId": TENANT}
    assert parse(extra).client_id == CLIENT


def test_two_names_for_one_field_that_differ_are_an_error() -> None:
    other = "11111111-1111-1111-1111-111111111111"
    message = problems_of({"clientId": CLIENT, "managed_identity_client_id": other, "tenantId": TENANT})
    assert f"clientId is {CLIENT} but managed_identity_client_id is {other}" in message
    message = problems_of(
        {"clientId": CLIENT, "tenantId": TENANT, "subscriptionId": other, "id": f"/subscriptions/{SUBSCRIPTION}/x"}
    )
    assert f"subscriptionId is {other} but the subscription in id is {SUBSCRIPTION}" in message


def test_all_problems_are_said_at_once() -> None:
    message = problems_of({"clientId": "my-identity", "subscriptionId": 7, "cloud_environment": "AzureMoon"})
    assert "connection 'azure_wi'" in message
    assert "clientId is 'my-identity', expected a GUID" in message
    assert "tenantId is missing" in message
    assert "AZURE_TENANT_ID" in message
    assert "subscriptionId is 7, expected a GUID" in message
    assert "cloud_environment is 'AzureMoon', expected one of AzurePublicCloud" in message


def test_an_empty_extra_lacks_both_ids() -> None:
    message = problems_of({})
    assert "clientId is missing" in message
    assert "tenantId is missing" in message


def test_a_malformed_environment_variable_is_named() -> None:
    message = problems_of({"tenantId": TENANT}, environment={"AZURE_CLIENT_ID": "oops"})
    assert "the environment variable AZURE_CLIENT_ID is 'oops'" in message


@pytest.mark.parametrize("tenant", ["common", "contoso", "contoso..com", "https://contoso.com", "a/b.com", "x.com\n.y"])
def test_a_tenant_is_a_guid_or_a_domain_name(tenant: str) -> None:
    assert "tenantId is" in problems_of({"clientId": CLIENT, "tenantId": tenant})


@pytest.mark.parametrize("text", ["{", "clientId=x", "[" * 100_000])
def test_an_extra_that_is_not_json_is_one_problem(text: str) -> None:
    message = problems_of(text)
    assert "extra is not JSON" in message
    assert "missing" not in message


def test_an_extra_that_is_no_object_is_one_problem() -> None:
    assert "extra is a JSON array, expected a JSON object" in problems_of("[1, 2]")


def test_a_token_in_the_wrong_field_is_not_repeated() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    message = problems_of({"clientId": token, "tenantId": TENANT})
    assert token not in message
    assert "looks like a token" in message


def test_the_error_survives_a_process_boundary() -> None:
    with pytest.raises(IdentityError) as caught:
        parse({})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.problems == caught.value.problems


def of_connection(extra: Any, **fields: Any) -> WorkloadIdentity:
    return identity_from_connection(StoredConnection(extra, **fields), environment={})


IDS = {"clientId": CLIENT, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}


@pytest.mark.parametrize(
    "extra",
    [
        {f"extra__azure_workload_identity__{name}": value for name, value in IDS.items()},
        {**IDS, "clientId": " ", "extra__azure_workload_identity__clientId": CLIENT},
        json.dumps(json.dumps(IDS)),
        json.dumps(json.dumps(json.dumps(IDS))),
        {"extra": IDS},
        {"extra": json.dumps(IDS)},
        {"__extra__": json.dumps(IDS)},
        {"conn_type": "azure_workload_identity", "host": None, "extra": {"__extra__": IDS}},
        {"extra": json.dumps({f"extra__azure_workload_identity__{name}": value for name, value in IDS.items()})},
        {"properties": {"principalId": "x", **IDS}, "location": "westeurope", "name": "airflow"},
        {"ClientId": CLIENT, "TenantId": TENANT, "Id": f"/subscriptions/{SUBSCRIPTION}/resourcegroups/data"},
        {name: {"type": "String", "value": value} for name, value in IDS.items()},
        {
            "client_id": {"sensitive": False, "type": "string", "value": CLIENT},
            "tenant_id": {"sensitive": False, "type": "string", "value": TENANT},
            "subscription_id": {"sensitive": False, "type": "string", "value": SUBSCRIPTION},
        },
        {"identity": {"sensitive": False, "type": ["object", {}], "value": IDS}},
        {
            "id": "/subscriptions/99999999-0000-0000-0000-000000000000/resourceGroups/data/providers/x",
            "properties": {"outputs": {name: {"type": "String", "value": value} for name, value in IDS.items()}},
        },
    ],
)
def test_each_form_in_which_an_identity_is_stored(extra: Any) -> None:
    assert of_connection(extra) == WorkloadIdentity(CLIENT, TENANT, SUBSCRIPTION)


@pytest.mark.parametrize("conn_type", ["wasb", "azure_data_lake", "azure_container_registry", "azure_synapse"])
@pytest.mark.parametrize("short", [None, CLIENT, ""])
def test_prefixed_names_of_a_stock_connection_are_read_as_get_field_reads_them(
    conn_type: str, short: str | None
) -> None:
    from airflow.providers.microsoft.azure.utils import get_field

    prefixed = CLIENT if short is None else "11111111-1111-1111-1111-111111111111"
    extra = {
        f"extra__{conn_type}__managed_identity_client_id": prefixed,
        f"extra__{conn_type}__workload_identity_tenant_id": TENANT,
    } | ({} if short is None else {"managed_identity_client_id": short})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = get_field(conn_id="x", conn_type=conn_type, extras=extra, field_name="managed_identity_client_id")
    # An empty short name hides the prefixed one from get_field; here empty means absent.
    assert of_connection(extra, conn_type=conn_type).client_id == (stock or prefixed)


def test_what_stock_hooks_look_for_is_unwrapped_too() -> None:
    extra = {"extra": {"extra__azure_workload_identity__resource_group": "data"}, "factory_name": "f"}
    assert extra_of_connection(StoredConnection(extra)) == {"resource_group": "data", "factory_name": "f"}
    assert extra_of_connection(StoredConnection("{")) == {}


def test_ids_that_differ_between_outputs_are_an_error() -> None:
    other = {"client_id": {"value": "11111111-1111-1111-1111-111111111111"}, "tenant_id": {"value": TENANT}}
    message = problems_of({"a": {"value": IDS}, **other})
    assert f"a.clientId is {CLIENT} but client_id is 11111111" in message


def test_a_login_holds_the_client_id_of_a_stock_connection() -> None:
    assert of_connection({"tenantId": TENANT}, login=CLIENT, conn_type="azure").client_id == CLIENT


def test_messages_name_the_connection_as_the_user_did() -> None:
    connection = StoredConnection({}, conn_id="x\x1b[31m")
    with pytest.raises(IdentityError, match=r"connection 'x\\x1b\[31m' does not"):
        identity_from_connection(connection, environment={})
    with pytest.raises(IdentityError, match="my name does not describe"):
        identity_from_connection(connection, environment={}, source="my name")


@pytest.mark.parametrize("uri", ["azure_workload_identity:///?clientId=x", "azure_workload_identity://?clientId=x"])
def test_a_uri_whose_scheme_has_underscores_says_what_to_write(uri: str) -> None:
    from airflow.models.connection import Connection

    for connection in (Connection(conn_id="azure_wi", uri=uri), SdkConnection.from_uri(uri, conn_id="azure_wi")):
        with pytest.raises(IdentityError, match="Write azure-workload-identity://"):
            identity_from_connection(connection, environment={})


def test_a_uri_whose_scheme_has_hyphens_is_of_our_type() -> None:
    uri = f"azure-workload-identity:///?clientId={CLIENT}&tenantId={TENANT}"
    connection = SdkConnection.from_uri(uri, conn_id="azure_wi")
    assert connection.conn_type == "azure_workload_identity"
    assert identity_from_connection(connection, environment={}) == WorkloadIdentity(CLIENT, TENANT)


@pytest.mark.parametrize(
    ("location", "cloud"),
    [
        ("usgovvirginia", US_GOVERNMENT),
        ("USGov Arizona", US_GOVERNMENT),
        ("usdodcentral", US_GOVERNMENT),
        ("chinaeast2", CHINA),
        ("China North 3", CHINA),
        ("westeurope", PUBLIC),
        ("eastus", PUBLIC),
    ],
)
def test_the_region_gives_the_cloud(location: str, cloud: Cloud) -> None:
    assert of_connection(IDS | {"location": location}).cloud == cloud
    named = IDS | {"location": location, "cloud_environment": "AzureChinaCloud"}
    assert of_connection(named).cloud == CHINA


def test_without_an_environment_no_variable_is_mentioned() -> None:
    with pytest.raises(IdentityError) as caught:
        WorkloadIdentity.from_extra({}, source="file 'x'", environment=None)
    assert "tenantId is missing" in str(caught.value)
    assert "AZURE_" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
known_names = st.sampled_from(
    [
        *("clientId", "client_id", "managed_identity_client_id"),
        *("tenantId", "tenant_id", "workload_identity_tenant_id"),
        *("subscriptionId", "subscription_id", "id", "cloud_environment"),
    ]
)
near_misses = st.sampled_from(
    [CLIENT, TENANT.upper(), "contoso.com", "/subscriptions/", "/subscriptions/x/y", "AzureChinaCloud"]
)
extras = st.dictionaries(known_names | st.text(max_size=8), near_misses | json_values, max_size=8)


@settings(deadline=None, max_examples=500)
@given(extra=extras | json_values, login=st.none() | st.text(max_size=10), as_text=st.booleans())
def test_any_json_gives_an_identity_or_the_one_error(extra: Any, login: str | None, as_text: bool) -> None:
    with suppress(IdentityError):
        identity = parse(json.dumps(extra) if as_text else extra, login=login)
        assert parse({"clientId": identity.client_id, "tenantId": identity.tenant_id})


@settings(deadline=None, max_examples=300)
@given(text=st.text())
def test_any_text_gives_an_identity_or_the_one_error(text: str) -> None:
    with suppress(IdentityError):
        parse(text)
