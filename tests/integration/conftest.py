"""An identity as the package sees it, in this process as a workload."""

import os

import pytest

from airflow_azure_wi.auth import async_credential_for, credential_for
from airflow_azure_wi.auth.async_credential import AsyncSharedCredential
from airflow_azure_wi.auth.credential import SharedCredential
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure

USER = "connection 'azure_wi'"


@pytest.fixture
def who(identity: ManagedIdentity) -> WorkloadIdentity:
    return WorkloadIdentity(identity.client_id, identity.tenant_id, identity.subscription_id)


@pytest.fixture
def deployment(workload: OfflineAzure) -> Deployment:
    return Deployment.of(os.environ)


@pytest.fixture
def credential(deployment: Deployment, who: WorkloadIdentity) -> SharedCredential:
    return credential_for(who, deployment, used_by=USER)


@pytest.fixture
def async_credential(deployment: Deployment, who: WorkloadIdentity) -> AsyncSharedCredential:
    return async_credential_for(who, deployment, used_by=USER)
