"""One offline Azure for all tests that sign in."""

from collections.abc import Iterator

import pytest

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure


@pytest.fixture(scope="session")
def running_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineAzure]:
    with OfflineAzure(tmp_path_factory.mktemp("offline-azure")) as azure:
        yield azure


@pytest.fixture
def azure(running_azure: OfflineAzure) -> OfflineAzure:
    """The offline Azure, with no exchange on its record."""
    running_azure.entra.clear()
    return running_azure


@pytest.fixture
def identity(azure: OfflineAzure) -> ManagedIdentity:
    """A managed identity of this test alone, which trusts the default workload.

    Access tokens of other tests are not shared with it: they are of other identities.
    """
    [trusted] = azure.identity.federated_credentials
    identity = ManagedIdentity()
    identity.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
    azure.entra.register(identity)
    return identity


@pytest.fixture
def workload(azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> OfflineAzure:
    """This process as the workload: with its environment."""
    for name, value in azure.environment().items():
        monkeypatch.setenv(name, value)
    return azure
