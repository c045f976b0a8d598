"""An identity as the package sees it, in this process as a workload."""

import os

import pytest

from airflow_azure_wi.credentials import async_credential_for, credential_for
from airflow_azure_wi.credentials._async import AsyncSharedCredential
from airflow_azure_wi.credentials._sync import SharedCredential
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import Application, FederatedIdentityCredential, ManagedIdentity, OfflineAzure

USER = "connection 'azure_wi'"


@pytest.fixture
def who(identity: ManagedIdentity) -> WorkloadIdentity:
    return WorkloadIdentity(identity.client_id, identity.tenant_id, identity.subscription_id)


@pytest.fixture
def application(azure: OfflineAzure, identity: ManagedIdentity) -> Application:
    """An application that is registered where the managed identity is, trusts it, and is known in another tenant."""
    application = Application(home_tenant_id=identity.tenant_id, name="reader")
    application.add_credential(trust_of(identity))
    azure.entra.register(application)
    return application


def trust_of(identity: ManagedIdentity) -> FederatedIdentityCredential:
    """What makes an application trust an identity."""
    issuer = f"https://login.microsoftonline.com/{identity.tenant_id}/v2.0"
    return FederatedIdentityCredential("airflow", issuer, identity.principal_id)


@pytest.fixture
def here(workload: OfflineAzure) -> Deployment:
    return Deployment.of(os.environ)


@pytest.fixture
def credential(here: Deployment, who: WorkloadIdentity) -> SharedCredential:
    return credential_for(who, here, used_by=USER)


@pytest.fixture
def async_credential(here: Deployment, who: WorkloadIdentity) -> AsyncSharedCredential:
    return async_credential_for(who, here, used_by=USER)
