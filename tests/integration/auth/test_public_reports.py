"""Refusals that people have reported in public: what this package says of them."""

from dataclasses import replace

import pytest

from airflow_azure_wi.auth.credential import SharedCredential
from airflow_azure_wi.errors import TokenExchangeError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure, Refuse

STORAGE = "https://storage.azure.com/.default"


def refusal_of(credential: SharedCredential) -> TokenExchangeError:
    with pytest.raises(TokenExchangeError) as caught:
        credential.get_token(STORAGE)
    return caught.value


def test_a_subject_that_differs_in_case(credential: SharedCredential, identity: ManagedIdentity) -> None:
    """https://github.com/Azure/login/issues/515."""
    [worker] = identity.federated_credentials
    identity.add_credential(replace(worker, subject=worker.subject.replace("airflow-worker", "Airflow-Worker")))
    error = refusal_of(credential)
    assert error.code == "AADSTS7002138"
    assert "differs from the federated token in upper and lower case only" in str(error)
    assert "airflow-azure-wi link ... --check" in str(error)
    assert worker.subject in str(error)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        # https://github.com/Azure/AKS/issues/4029, https://github.com/Azure/azure-workload-identity/pull/955
        ("AADSTS501661", "`az aks update "),
        # https://github.com/Azure/azure-workload-identity/issues/605
        ("AADSTS90061", "Try again later."),
        # https://github.com/Azure/azure-sdk-for-python/issues/14241
        ("AADSTS90033", "Try again later;"),
        ("AADSTS90025", "throttled"),
        # https://github.com/Azure/azure-cli/issues/32031
        ("AADSTS5000225", "https://aka.ms/TenantLifecycle"),
        # https://github.com/Azure/azure-sdk-for-net/issues/46762
        ("AADSTS7000229", "`az ad sp create --id CLIENT_ID`"),
        # https://github.com/OfficeDev/microsoft-teams-library-js/issues/3121
        ("AADSTS900382", "Set cloud_environment"),
        # https://github.com/AzureAD/microsoft-authentication-library-for-java/issues/597
        ("AADSTS53003", "the sign-in logs of service principals name it"),
        # https://github.com/microsoft/Agents/issues/202
        ("AADSTS7002137", "AZURE_FEDERATED_TOKEN_FILE has to name the service account token"),
    ],
)
def test_what_is_said(credential: SharedCredential, azure: OfflineAzure, code: str, said: str) -> None:
    azure.entra.fail_next(*[Refuse(code)] * 10)
    error = refusal_of(credential)
    assert error.code == code
    assert said in str(error)
    assert "look the code up" not in str(error)
