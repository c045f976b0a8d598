import pytest

from airflow_azure_wi.clouds import CHINA, PUBLIC, US_GOVERNMENT, Cloud, cloud_named


@pytest.mark.parametrize(
    ("name", "cloud"),
    [
        ("AzureCloud", PUBLIC),
        ("AzurePublicCloud", PUBLIC),
        (" azurecloud ", PUBLIC),
        ("AzureUSGovernment", US_GOVERNMENT),
        ("AZUREUSGOVERNMENT", US_GOVERNMENT),
        ("AzureChinaCloud", CHINA),
        ("AzureGermanCloud", None),
        ("", None),
    ],
)
def test_a_cloud_goes_by_the_names_of_stock_connections_and_of_the_azure_cli(name: str, cloud: Cloud | None) -> None:
    assert cloud_named(name) == cloud
