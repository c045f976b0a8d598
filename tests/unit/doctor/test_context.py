from pathlib import Path

import pytest

from airflow_azure_wi.doctor import DoctorContext, examine
from airflow_azure_wi.doctor.token_checks import check_environment
from airflow_azure_wi.federation import IdentityResource
from tests.stored_connection import StoredConnection

AZ = (Path(__file__).parents[2] / "data" / "az-identity-create.json").read_text()


def test_the_environment_alone_names_the_identity() -> None:
    environment = {"AZURE_CLIENT_ID": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10", "AZURE_TENANT_ID": "contoso.com"}
    context = DoctorContext.of(None, environment=environment)
    assert context.identity is not None
    assert context.identity.tenant_id == "contoso.com"


def test_what_az_prints_says_where_the_identity_is() -> None:
    found = DoctorContext.of(StoredConnection(AZ), environment={}).resource
    assert found == IdentityResource("astrodemoid", "DemoGroup", "0b1f6471-1bf0-4dda-aec3-cb9272f09590")
    assert DoctorContext.of(StoredConnection("{"), environment={}).resource is None


def test_airflows_option_counts_where_airflow_is_not_asked() -> None:
    variables = {"AIRFLOW__AZURE_WORKLOAD_IDENTITY__FEDERATED_TOKEN_FILE": "/from/option"}
    assert str(DoctorContext.of(None, environment=variables).deployment.token_file) == "/from/option"
    variables["AZURE_FEDERATED_TOKEN_FILE"] = "/from/variable"
    assert str(DoctorContext.of(None, environment=variables).deployment.token_file) == "/from/variable"


def test_a_problem_of_the_options_leaves_the_rest() -> None:
    options = {"federated_token_file": "/from/option", "token_cache": "redis"}
    context = DoctorContext.of(None, environment={}, options=options)
    assert "token_cache is 'redis'" in check_environment(context).found
    assert str(context.deployment.token_file) == "/from/option"


def test_with_identity_bindings_the_authority_host_does_not_matter() -> None:
    variables = {"AZURE_KUBERNETES_TOKEN_PROXY": "https://proxy.example", "AZURE_AUTHORITY_HOST": "https://x.invalid"}
    report = examine(DoctorContext.of(None, environment=variables, options={"identity_binding": "True"}))
    skipped = [result.found for result in report.results if result.name in ("DNS", "TCP", "TLS", "clock")]
    why = "tokens are exchanged by the proxy of AKS identity bindings, https://proxy.example"
    assert skipped == [why] * 4


@pytest.mark.parametrize(
    ("variable", "field"),
    [("AZURE_AUTHORITY_HOST", "authority_host"), ("AZURE_FEDERATED_TOKEN_FILE", "token_file")],
)
def test_a_problem_of_one_variable_leaves_the_other(variable: str, field: str) -> None:
    environment = {"AZURE_AUTHORITY_HOST": "https://login.example.com", "AZURE_FEDERATED_TOKEN_FILE": "/file"}
    context = DoctorContext.of(None, environment=environment | {variable: "eyJhbGciOiJub25lIn0"})
    assert variable in context.deployment.problems[field]
    assert str(context.deployment.token_file) == "/file" or context.authority_host == "https://login.example.com"
