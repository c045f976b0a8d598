import pytest

from airflow_azure_wi.federation.comparison import Comparison, Existing
from airflow_azure_wi.federation.credentials import IdentityResource
from airflow_azure_wi.federation.quota import MOST_CREDENTIALS, Share, deletable, quota_of, split
from airflow_azure_wi.federation.workloads import Workloads, astro_accounts, subject_of

IDENTITY = IdentityResource("airflow", "data")


def deployment(name: str, size: int) -> Workloads:
    subjects = tuple(subject_of(name, f"account-{number}") for number in range(size))
    return Workloads(name, "https://x.example", subjects, "api://x", ("--helm", name))


def shape(shares: list[Share]) -> list[tuple[str, list[int]]]:
    return [
        (share.holder.title.removeprefix("managed identity "), [len(each.subjects) for each in share.deployments])
        for share in shares
    ]


@pytest.mark.parametrize(("used", "more"), [(5, 3), (15, 1), (16, 0), (20, 0)])
def test_how_many_more_fit(used: int, more: int) -> None:
    quota = quota_of([deployment("a", 5)], others=used - 5)
    assert (quota.used, quota.more_deployments, quota.is_exceeded) == (used, more, False)


def test_one_more_than_the_limit_is_too_many() -> None:
    assert quota_of([deployment("a", 5)], others=16).is_exceeded


def test_a_deployment_stays_whole() -> None:
    shares = split(IDENTITY, [deployment(name, 6) for name in "abcd"])
    assert shape(shares) == [("airflow", [6, 6, 6]), ("airflow-2", [6])]


def test_what_an_identity_holds_already_stays_there() -> None:
    assert shape(split(IDENTITY, [deployment("a", 6), deployment("b", 6)], others=12)) == [
        ("airflow", [6]),
        ("airflow-2", [6]),
    ]
    assert shape(split(IDENTITY, [deployment("a", 6)], others=20)) == [("airflow-2", [6])]
    assert shape(split(IDENTITY, [deployment("a", 6)], others=25)) == [("airflow-2", [6])]


def test_a_deployment_that_no_identity_can_hold_is_divided() -> None:
    shares = split(IDENTITY, [deployment("a", 45)])
    assert shape(shares) == [("airflow", [20]), ("airflow-2", [20]), ("airflow-3", [5])]
    assert shares[2].deployments[0].given_as[:2] == ("--subject", "system:serviceaccount:a:account-40")


def test_five_astro_deployments_fit() -> None:
    """Astronomer's guide: one identity serves five (astronomer/docs, learn/connections/entra-workload-identity.md)."""
    sizes = [len(astro_accounts(f"orbit-{number}")) for number in range(5)]
    assert sum(sizes) == MOST_CREDENTIALS


def test_what_to_delete_is_first_what_the_same_cluster_no_longer_has() -> None:
    other = Existing("other", "https://elsewhere.example", "s", ("api://x",))
    gone = Existing("gone", "https://x.example", "s", ("api://x",))
    comparison = Comparison(deployment("a", 19).credentials(), (), (other, gone))
    assert deletable(comparison, quota_of([deployment("a", 19)], others=2)) == (gone,)
    assert deletable(comparison, quota_of([deployment("a", 20)], others=2)) == (gone, other)
    assert deletable(comparison, quota_of([deployment("a", 21)], others=2)) == ()
