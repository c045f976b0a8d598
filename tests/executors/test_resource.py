"""The resource refuses what Azure would: otherwise that it let 200 tasks in would say nothing."""

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from azure.identity import WorkloadIdentityCredential

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.executors.resource import AUDIENCE, Resource


def token_of(identity: ManagedIdentity, audience: str) -> str:
    credential = WorkloadIdentityCredential(client_id=identity.client_id, tenant_id=identity.tenant_id)
    return credential.get_token(f"{audience}/.default").token


def status_of(resource: Resource, token: str) -> int:
    try:
        return urlopen(Request(f"{resource.url}/worker/1", headers={"Authorization": f"Bearer {token}"})).status
    except HTTPError as error:
        return error.code


def test_a_token_of_the_identity_is_let_in(resource: Resource, workload: OfflineAzure) -> None:
    assert status_of(resource, token_of(workload.identity, AUDIENCE)) == 204
    assert resource.visits == ["/worker/1"]


@pytest.mark.parametrize("wrong", ["identity", "audience", "signature"])
def test_other_tokens_are_refused(
    wrong: str, resource: Resource, workload: OfflineAzure, identity: ManagedIdentity
) -> None:
    token = {
        "identity": lambda: token_of(identity, AUDIENCE),
        "audience": lambda: token_of(workload.identity, "https://vault.azure.net"),
        "signature": lambda: token_of(workload.identity, AUDIENCE)[:-8] + "AAAAAAAA",
    }[wrong]()
    assert status_of(resource, token) == 401
    assert resource.visits == []
    assert len(resource.refusals) == 1
