"""What adlfs, fsspec's file system for Azure Storage, takes to open an account."""

import re
from typing import Any

from airflow_azure_wi.clouds import Cloud
from airflow_azure_wi.endpoints import Endpoint
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.redaction import quoted

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


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
