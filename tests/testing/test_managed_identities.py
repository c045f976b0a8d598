"""Managed identities and their federated identity credentials."""

from uuid import UUID

import pytest

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure


def credential(name: str, subject: str = "s") -> FederatedIdentityCredential:
    return FederatedIdentityCredential(name, "https://issuer.example", subject)


def test_new_identity_has_ids_of_its_own() -> None:
    one, other = ManagedIdentity(), ManagedIdentity()
    ids = {
        str(UUID(value))
        for identity in (one, other)
        for value in (identity.client_id, identity.tenant_id, identity.subscription_id, identity.principal_id)
    }
    assert len(ids) == 8


def test_credential_is_replaced_by_one_of_the_same_name() -> None:
    identity = ManagedIdentity()
    identity.add_credential(credential("worker", "old"))
    identity.add_credential(credential("worker", "new"))

    assert identity.federated_credentials == (credential("worker", "new"),)


def test_credential_is_removed() -> None:
    identity = ManagedIdentity()
    identity.add_credential(credential("worker"))
    identity.remove_credential("worker")

    assert identity.federated_credentials == ()
    with pytest.raises(KeyError):
        identity.remove_credential("worker")


def test_identity_holds_at_most_20_credentials() -> None:
    identity = ManagedIdentity()
    for number in range(20):
        identity.add_credential(credential(f"c{number}", f"s{number}"))
    identity.add_credential(credential("c19", "replaced"))

    with pytest.raises(ValueError, match="at most 20"):
        identity.add_credential(credential("c20", "s20"))
    assert len(identity.federated_credentials) == 20


def test_issuer_and_subject_are_unique() -> None:
    identity = ManagedIdentity()
    identity.add_credential(credential("one"))

    with pytest.raises(ValueError, match="already exists"):
        identity.add_credential(credential("two"))


def test_identity_json_is_what_az_identity_create_prints(azure: OfflineAzure) -> None:
    identity = azure.identity
    assert azure.identity_json() == {
        "clientId": identity.client_id,
        "id": f"/subscriptions/{identity.subscription_id}/resourcegroups/airflow-rg/providers/"
        "Microsoft.ManagedIdentity/userAssignedIdentities/airflow",
        "location": "westeurope",
        "name": "airflow",
        "principalId": identity.principal_id,
        "resourceGroup": "airflow-rg",
        "systemData": None,
        "tags": {},
        "tenantId": identity.tenant_id,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
    }
