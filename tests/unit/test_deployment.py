from pathlib import Path

import pytest

from airflow_azure_wi.clouds import PUBLIC, US_GOVERNMENT
from airflow_azure_wi.deployment import STANDARD_TOKEN_FILE, Deployment
from airflow_azure_wi.errors import DeploymentError


def test_the_environment_names_the_token_file_before_the_configuration() -> None:
    deployment = Deployment.of({"AZURE_FEDERATED_TOKEN_FILE": "/from/environment"}, "/from/configuration")
    assert deployment.token_file == Path("/from/environment")
    assert "AZURE_FEDERATED_TOKEN_FILE" in deployment.token_file_named_by


def test_the_configuration_names_the_token_file_before_the_standard_path() -> None:
    deployment = Deployment.of({"AZURE_FEDERATED_TOKEN_FILE": " "}, "/from/configuration")
    assert deployment.token_file == Path("/from/configuration")
    assert "[azure_workload_identity] federated_token_file" in deployment.token_file_named_by


def test_the_standard_path_is_that_of_the_webhook() -> None:
    assert Deployment.of({}, "").token_file == Path(STANDARD_TOKEN_FILE)


def test_the_authority_is_that_of_the_cloud_unless_the_environment_names_one() -> None:
    assert Deployment.of({}).authority_host_for(PUBLIC) == "https://login.microsoftonline.com"
    assert Deployment.of({}).authority_host_for(US_GOVERNMENT) == "https://login.microsoftonline.us"
    elsewhere = Deployment.of({"AZURE_AUTHORITY_HOST": "https://localhost:8443/"})
    assert elsewhere.authority_host_for(US_GOVERNMENT) == "https://localhost:8443"


def test_an_authority_may_be_a_bare_host() -> None:
    deployment = Deployment.of({"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"})
    assert deployment.authority_host_for(PUBLIC) == "https://login.microsoftonline.us"


@pytest.mark.parametrize(
    "host",
    [
        "http://login.microsoftonline.com",
        "https://",
        "ftp://x",
        "https://a@b",
        "https://a:port",
        "https://[",
        "https://a b",
    ],
)
def test_a_federated_token_goes_to_https_hosts_only(host: str) -> None:
    with pytest.raises(DeploymentError, match=r"AZURE_AUTHORITY_HOST is .*expected an https URL"):
        Deployment.of({"AZURE_AUTHORITY_HOST": host})
