from airflow_azure_wi.clouds import CHINA, PUBLIC
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.environment_variables import variables_for
from airflow_azure_wi.identity import WorkloadIdentity

DEPLOYMENT = Deployment.of({"AZURE_FEDERATED_TOKEN_FILE": "/it"})


def test_each_tool_finds_its_own_names() -> None:
    assert variables_for(WorkloadIdentity("client", "tenant", "subscription"), DEPLOYMENT) == {
        "AZURE_CLIENT_ID": "client",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_SUBSCRIPTION_ID": "subscription",
        "AZURE_FEDERATED_TOKEN_FILE": "/it",
        "AZURE_AUTHORITY_HOST": PUBLIC.authority_host,
        "AZCOPY_AUTO_LOGIN_TYPE": "WORKLOAD",
        "ARM_USE_OIDC": "true",
        "ARM_CLIENT_ID": "client",
        "ARM_TENANT_ID": "tenant",
        "ARM_SUBSCRIPTION_ID": "subscription",
        "ARM_OIDC_TOKEN_FILE_PATH": "/it",
        "ARM_ENVIRONMENT": "public",
    }


def test_the_cloud_is_named_and_no_subscription_where_there_is_none() -> None:
    variables = variables_for(WorkloadIdentity("client", "tenant", cloud=CHINA), DEPLOYMENT)
    assert variables["AZURE_AUTHORITY_HOST"] == CHINA.authority_host
    assert variables["ARM_ENVIRONMENT"] == "china"
    assert not [name for name in variables if "SUBSCRIPTION" in name]
