import pytest

from airflow_azure_wi.federation.credentials import IdentityResource
from airflow_azure_wi.federation.quota import Share, quota_of, split
from airflow_azure_wi.federation.workloads import Workloads, subject_of

IDENTITY = IdentityResource("airflow", "data")


def deployment(name: str, size: int) -> Workloads:
    subjects = tuple(subject_of(name, f"account-{number}") for number in range(size))
    return Workloads(name, "https://x.example", subjects, "api://x", ("--helm", name))


def shape(shares: list[Share]) -> list[tuple[str, list[int]]]:
    return [(share.identity.name, [len(each.subjects) for each in share.deployments]) for share in shares]


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
    assert shares[2].deployments[0].given_as[:2] == ("--service-account", "a:account-40")
