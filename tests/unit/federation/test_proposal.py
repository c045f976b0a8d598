"""What the command line and the page in Airflow both call: plain values in, a proposal or problems by field out."""

import json
import pickle

import pytest

from airflow_azure_wi.clouds import CHINA
from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation import Application, IdentityResource
from airflow_azure_wi.federation.comparison import Existing
from airflow_azure_wi.federation.proposal import FORMATS, MOST_CREDENTIALS, Proposal, Quota, propose
from airflow_azure_wi.federation.workloads import (
    Wording,
    Workloads,
    astro,
    helm_release,
    service_accounts,
    split_account,
    subject_of,
    workload_with_subject,
)

IDENTITY = IdentityResource("airflow", "data")
ISSUER = "https://x.example"
CLIENT_ID = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"


@pytest.fixture(autouse=True)
def outside_of_a_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)


def deployment(name: str, size: int) -> Workloads:
    subjects = tuple(subject_of(name, f"account-{number}") for number in range(size))
    return Workloads(name, subjects, ("--helm", name), issuer=ISSUER, audience="api://x")


def proposal(*sizes: int, others: int = 0) -> Proposal:
    deployments = tuple(deployment(name, size) for name, size in zip("abcdef", sizes, strict=False))
    elsewhere = [Existing(f"other-{number}", "https://elsewhere.example", "s", ("a",)) for number in range(others)]
    return Proposal(IDENTITY, deployments).compared_with(elsewhere)


def shape(of: Proposal) -> list[tuple[str, list[int]]]:
    return [
        (holder.title.removeprefix("managed identity "), [len(each.subjects) for each in deployments])
        for holder, deployments in of.split()
    ]


def test_a_proposal_has_every_form_and_counts() -> None:
    made = propose(IDENTITY, [astro("orbit-1"), helm_release("af", "data")], [ISSUER], cloud=CHINA)
    assert len(made.credentials) == made.quota.used == 9
    assert {(each.issuer, each.audience) for each in made.credentials} == {(ISSUER, "api://AzureADTokenExchangeChina")}
    for output_format in FORMATS:
        assert "system:serviceaccount:orbit-1:orbit-1-kpo" in made.render(output_format)
    assert json.loads(made.render("json"))["quota"] == {"used": 9, "limit": 20, "moreDeployments": 2}
    assert made.notes[0] == "release af in namespace data:"
    assert "az cloud set --name AzureChinaCloud" in "\n".join(made.outlook())


def test_the_service_accounts_of_a_namespace_are_one_deployment() -> None:
    deployments = [
        service_accounts("ns", "one"),
        helm_release("af", "ns"),
        service_accounts("ns", "two", "one"),
        helm_release("af", "ns"),
    ]
    made = propose(IDENTITY, deployments, [ISSUER, "https://a.example", "https://b.example"])
    assert [(each.title, len(each.subjects), each.issuer) for each in made.deployments] == [
        ("namespace ns", 2, ISSUER),
        ("release af in namespace ns", 5, "https://a.example"),
        ("release af in namespace ns", 5, "https://b.example"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("one", (None, "one")), ("ns:one", ("ns", "one")), ("system:serviceaccount:ns:one", ("ns", "one"))],
)
def test_a_service_account_may_have_its_namespace(name: str, expected: tuple[str | None, str]) -> None:
    assert split_account(name) == expected


def test_an_application_has_no_bicep() -> None:
    made = propose(Application(CLIENT_ID), [service_accounts("ns", "one", "two")], [ISSUER])
    assert [each.subject for each in made.credentials] == [
        "system:serviceaccount:ns:one",
        "system:serviceaccount:ns:two",
    ]
    assert "azuread_application" in made.render("terraform")
    with pytest.raises(FederationError, match="uniqueName") as raised:
        made.render("bicep")
    assert list(raised.value.by_field) == ["format"]


def test_problems_are_given_by_field() -> None:
    holder = IdentityResource("a'b", "", "mine")
    deployments = [astro("Orbit"), service_accounts("ns", "One"), helm_release("A_", "ns"), workload_with_subject("")]
    with pytest.raises(FederationError) as raised:
        propose(holder, deployments, ["http://x.example"], audience="a b", problems=[("format", "known already")])
    error = raised.value
    assert set(error.by_field) == {
        *("identity_name", "resource_group", "subscription", "format", "namespace", "service_account", "release"),
        *("issuer", "subject", "audience"),
    }
    assert error.by_field["format"] == ["known already"]
    assert error.by_field["issuer"][0].startswith("The issuer is 'http://x.example': it is http")
    assert sum(map(len, error.by_field.values())) == len(error.problems)
    assert pickle.loads(pickle.dumps(error)).by_field == error.by_field


def test_problems_of_an_application_are_given_by_field() -> None:
    with pytest.raises(FederationError) as raised:
        propose(Application("airflow", "no tenant"), [astro("orbit-1")], [ISSUER])
    assert list(raised.value.by_field) == ["application", "tenant"]


def test_messages_name_what_the_asker_shows() -> None:
    wording = Wording(issuer="Issuer", deployment="an Astro namespace", chart_values="Values", check="Existing")
    with pytest.raises(FederationError, match="The issuer is missing: add Issuer, the cluster's OIDC issuer"):
        propose(IDENTITY, [astro("orbit-1")], wording=wording)
    with pytest.raises(FederationError, match="No deployment is given: add an Astro namespace, and Issuer"):
        propose(IDENTITY, wording=wording)
    made = propose(IDENTITY, [helm_release("af", "data", wording=wording)], [ISSUER], wording=wording)
    said = "\n".join([*made.notes, *made.outlook()])
    assert "give them with Values" in said
    assert "Existing counts them" in said
    assert "--" not in said.replace("--all", "")


@pytest.mark.parametrize(("used", "more"), [(5, 3), (15, 1), (16, 0), (20, 0)])
def test_how_many_more_fit(used: int, more: int) -> None:
    assert proposal(5, others=used - 5).quota == Quota(used, 5)
    assert (Quota(used, 5).more_deployments, Quota(used, 5).is_exceeded) == (more, False)


def test_one_more_than_the_limit_is_too_many() -> None:
    assert proposal(5, others=16).quota.is_exceeded


def test_a_deployment_stays_whole() -> None:
    assert shape(proposal(6, 6, 6, 6)) == [("airflow", [6, 6, 6]), ("airflow-2", [6])]


def test_what_an_identity_holds_already_stays_there() -> None:
    assert shape(proposal(6, 6, others=12)) == [("airflow", [6]), ("airflow-2", [6])]
    assert shape(proposal(6, others=20)) == [("airflow-2", [6])]
    assert shape(proposal(6, others=25)) == [("airflow-2", [6])]


def test_a_deployment_that_no_identity_can_hold_is_divided() -> None:
    assert shape(proposal(45)) == [("airflow", [20]), ("airflow-2", [20]), ("airflow-3", [5])]
    [*_, (_, [last])] = proposal(45).split()
    assert last.given_as[:2] == ("--subject", "system:serviceaccount:a:account-40")


def test_five_astro_deployments_fit() -> None:
    """Astronomer's guide: one identity serves five (astronomer/docs, learn/connections/entra-workload-identity.md)."""
    made = propose(IDENTITY, [astro(f"orbit-{number}") for number in range(5)], [ISSUER])
    assert made.quota.used == MOST_CREDENTIALS


def test_what_to_delete_is_first_what_the_same_cluster_no_longer_has() -> None:
    existing = [
        Existing("other", "https://elsewhere.example", "s", ("api://x",)),
        Existing("gone", ISSUER, "s", ("api://x",)),
    ]
    names = [
        [each.name for each in Proposal(IDENTITY, (deployment("a", size),)).compared_with(existing).deletable()]
        for size in (19, 20, 21)
    ]
    assert names == [["gone"], ["gone", "other"], []]
