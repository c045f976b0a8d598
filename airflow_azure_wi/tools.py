"""What other tools take to sign in as an identity: environment variables, and the storage options of adlfs.

Nothing in the variables, which name ids, a path and a host, is secret. Each tool documents its own:
https://learn.microsoft.com/python/api/overview/azure/identity-readme (azure-identity, the same in all languages),
https://learn.microsoft.com/azure/storage/common/storage-ref-azcopy-login (azcopy),
https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs (Terraform's azurerm).
"""

import re
from typing import Any

from airflow_azure_wi.clouds import CHINA, PUBLIC, US_GOVERNMENT, Cloud
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.endpoints import Endpoint
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import DEVELOPMENT_CREDENTIALS
from airflow_azure_wi.redaction import quoted

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_TERRAFORM_CLOUDS = {PUBLIC.name: "public", US_GOVERNMENT.name: "usgovernment", CHINA.name: "china"}


def variables_for(identity: WorkloadIdentity, deployment: Deployment) -> dict[str, str]:
    """Return the variables by which other processes sign in as an identity.

    Where a developer signs in instead, they are those by which azure-identity does the same.
    """
    shared = _set(
        AZURE_TENANT_ID=identity.tenant_id,
        AZURE_AUTHORITY_HOST=deployment.authority_host_for(identity.cloud),
        AZURE_SUBSCRIPTION_ID=identity.subscription_id,
    )
    if developers := deployment.development_credential_in_use():
        return shared | {"AZURE_TOKEN_CREDENTIALS": DEVELOPMENT_CREDENTIALS[developers]}
    token_file = str(deployment.token_file)
    return shared | _set(
        AZURE_CLIENT_ID=identity.client_id,
        AZURE_FEDERATED_TOKEN_FILE=token_file,
        AZCOPY_AUTO_LOGIN_TYPE="WORKLOAD",
        ARM_USE_OIDC="true",
        ARM_CLIENT_ID=identity.client_id,
        ARM_TENANT_ID=identity.tenant_id,
        ARM_OIDC_TOKEN_FILE_PATH=token_file,
        ARM_SUBSCRIPTION_ID=identity.subscription_id,
        ARM_ENVIRONMENT=_TERRAFORM_CLOUDS.get(identity.cloud.name),
    )


def storage_options(account: str, *, cloud: Cloud, credential: Any) -> dict[str, Any]:
    """Return the arguments of ``adlfs.AzureBlobFileSystem``.

    :param account: the name of a storage account, or the https URL of its blobs.
    :param cloud: the cloud in which an account that is only named is looked for.
    :param credential: an asynchronous credential.
    :raises EndpointError: if the account is neither a name nor such a URL.
    """
    if _ACCOUNT.fullmatch(account):
        return {
            "account_name": account,
            "account_host": f"{account}.blob.{cloud.storage_suffix}",
            "credential": credential,
        }
    if "://" not in account:
        raise EndpointError(
            f"The storage account is {quoted(account)}, expected a name of 3 to 24 lower-case letters and digits, or "
            "the https URL of its blobs such as https://acct.blob.core.windows.net"
        )
    endpoint = Endpoint.of(account)
    return {"account_name": endpoint.account, "account_host": endpoint.location, "credential": credential}


def _set(**variables: str | None) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value}
