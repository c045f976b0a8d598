"""Step 1 of the page: problems stand beside the fields that have them, in the words of `link`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi.page.link import Asked, answer, this_deployment
from airflow_azure_wi.testing import OfflineAzure

ISSUER = "https://oidc.example.com/"
IDENTITY = {"identity_name": "airflow", "resource_group": "data"}
HELM = {"what": "helm", "release": "airflow", "namespace": "prod", "issuer": ISSUER}


def proposed(**fields: Any) -> dict[str, Any]:
    return answer(Asked(**(IDENTITY | HELM | fields)))


def test_a_release_is_linked_in_each_format() -> None:
    shown = proposed()
    assert shown["problems"] == {}
    assert set(shown["outputs"]) == {"az", "terraform", "bicep", "json"}
    assert "az identity federated-credential create" in shown["outputs"]["az"]
    [deployment] = json.loads(shown["outputs"]["json"])["deployments"]
    subjects = {each["subject"] for each in deployment["credentials"]}
    assert "system:serviceaccount:prod:airflow-scheduler" in subjects
    assert shown["quota"]["used"] == len(subjects) == 5
    assert shown["quota"]["limit"] == 20


def test_an_empty_form_names_what_is_missing_and_finds_no_fault() -> None:
    shown = answer(Asked(what="helm"))
    assert shown["missing"] == ["identity_name", "resource_group", "release", "namespace", "issuer"]
    assert shown["problems"] == {}
    assert "outputs" not in shown


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("identity_name", "a b", "The name of the managed identity is 'a b'"),
        ("resource_group", "data.", "The resource group is 'data.'"),
        ("subscription", "mine", "The subscription is 'mine'"),
        ("issuer", "http://oidc.example.com", "it is http"),
        ("namespace", "Prod", "The namespace is 'Prod'"),
        ("chart_values", "- a\n- b", "expected the values of the chart"),
        ("chart_values", "a: [", "not YAML"),
    ],
)
def test_a_problem_stands_beside_its_field(field: str, value: str, found: str) -> None:
    shown = proposed(**{field: value})
    assert list(shown["problems"]) == [field]
    assert found in " ".join(shown["problems"][field])
    assert "outputs" not in shown


def test_this_deployment_is_the_one_whose_token_the_process_has(workload: OfflineAzure) -> None:
    [trusted] = workload.identity.federated_credentials
    here = this_deployment()
    assert here is not None
    assert here.issuer == trusted.issuer
    assert here.namespace == "airflow"
    # That of the token, and the others of its release.
    assert {"airflow-worker", "airflow-scheduler", "airflow-triggerer", "airflow-api-server"} <= set(here.accounts)
    shown = answer(Asked(**IDENTITY, what="this"))
    assert trusted.subject in shown["outputs"]["az"]
    assert trusted.issuer in shown["outputs"]["az"]


@pytest.mark.parametrize(
    ("account", "others"),
    [
        ("prod-apiserver-serviceaccount", ["scheduler", "triggerer", "worker", "prod-kpo"]),
        ("data-api-server", ["data-scheduler", "data-triggerer", "data-dag-processor"]),
        ("ours", []),
    ],
    ids=["Astro", "the chart", "other"],
)
def test_the_other_service_accounts_follow_from_that_of_the_process(
    azure: OfflineAzure, account: str, others: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(azure.cluster.service_account_token("prod", account))
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    here = this_deployment()
    assert here is not None
    found = [re.sub("^prod-(.*)-serviceaccount$", r"\1", name) for name in here.accounts if name != account]
    assert found == others
    assert account in here.accounts


def test_a_process_without_a_federated_token_is_in_no_deployment_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "none"))
    assert this_deployment() is None
    assert answer(Asked(**IDENTITY, what="this"))["problems"]


def test_an_application_has_no_bicep_and_says_what_the_other_tenant_has_to_do() -> None:
    client_id = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"
    shown = proposed(holder="application", application=client_id, tenant="contoso.onmicrosoft.com")
    assert set(shown["outputs"]) == {"az", "terraform", "json"}
    assert f"az ad sp create --id {client_id}" in "\n".join(shown["outlook"])


def test_service_accounts_may_name_their_namespaces() -> None:
    names = "airflow:one\nsystem:serviceaccount:other:two, three"
    shown = proposed(what="accounts", service_account=names, namespace="prod")
    for subject in ("airflow:one", "other:two", "prod:three"):
        assert f"system:serviceaccount:{subject} " in shown["outputs"]["az"]
    alone = proposed(what="accounts", service_account="airflow:one", namespace="")
    assert alone["missing"] == []


def test_a_problem_of_the_namespace_is_said_once_for_all_its_accounts() -> None:
    shown = proposed(what="accounts", service_account="one two", namespace="Prod")
    assert len(shown["problems"]["namespace"]) == 1


def test_more_than_an_identity_holds_shows_the_ways_out_instead_of_commands_that_fail() -> None:
    names = " ".join(f"worker-{number}" for number in range(21))
    shown = proposed(what="accounts", service_account=names, namespace="prod")
    assert shown["quota"]["used"] == 21
    assert list(shown["outputs"]) == ["az"]
    assert "the managed identity airflow holds 20" in shown["outputs"]["az"]
