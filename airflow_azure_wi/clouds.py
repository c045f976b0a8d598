"""The Azure clouds: where each one's Microsoft Entra ID and resource manager are.

Hosts: https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud and
https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure. The Azure CLI's names:
https://github.com/Azure/azure-cli/blob/dev/src/azure-cli-core/azure/cli/core/cloud.py. Token-exchange audiences:
https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Cloud:
    """One Azure cloud.

    :param name: the name that the stock connections' ``cloud_environment`` uses for it.
    :param cli_name: the name that the Azure CLI uses for it (``az cloud list``).
    :param authority_host: the host that exchanges tokens, as an https URL without a path.
    :param resource_manager: the endpoint of Azure Resource Manager, as an https URL without a path.
    :param token_exchange_audience: the audience that a federated token must have to be accepted there.
    :param storage_suffix: what the hosts of Azure Storage end in.
    :param ossrdbms: the resource that access tokens for Azure Database for PostgreSQL and MySQL are for
        (``ossrdbmsResourceId`` in ``az cloud show``).
    :param sql_resource: what an access token for Azure SQL, Synapse SQL or Fabric is for, as an https URL without a
        path.
    :param other_authorities: further names of the authority host.
    """

    name: str
    cli_name: str
    authority_host: str
    resource_manager: str
    token_exchange_audience: str
    storage_suffix: str
    ossrdbms: str
    sql_resource: str
    other_authorities: tuple[str, ...] = ()

    @property
    def resource_manager_scope(self) -> str:
        """The scope of an access token for Azure Resource Manager."""
        return f"{self.resource_manager}/.default"


PUBLIC = Cloud(
    name="AzurePublicCloud",
    cli_name="AzureCloud",
    authority_host="https://login.microsoftonline.com",
    resource_manager="https://management.azure.com",
    token_exchange_audience="api://AzureADTokenExchange",
    storage_suffix="core.windows.net",
    ossrdbms="https://ossrdbms-aad.database.windows.net",
    sql_resource="https://database.windows.net",
    other_authorities=("login.windows.net", "login.microsoft.com", "sts.windows.net"),
)
US_GOVERNMENT = Cloud(
    name="AzureUSGovernment",
    cli_name="AzureUSGovernment",
    authority_host="https://login.microsoftonline.us",
    resource_manager="https://management.usgovcloudapi.net",
    token_exchange_audience="api://AzureADTokenExchangeUSGov",
    storage_suffix="core.usgovcloudapi.net",
    ossrdbms="https://ossrdbms-aad.database.usgovcloudapi.net",
    sql_resource="https://database.usgovcloudapi.net",
)
CHINA = Cloud(
    name="AzureChinaCloud",
    cli_name="AzureChinaCloud",
    authority_host="https://login.chinacloudapi.cn",
    resource_manager="https://management.chinacloudapi.cn",
    token_exchange_audience="api://AzureADTokenExchangeChina",
    storage_suffix="core.chinacloudapi.cn",
    ossrdbms="https://ossrdbms-aad.database.chinacloudapi.cn",
    sql_resource="https://database.chinacloudapi.cn",
    other_authorities=("login.partner.microsoftonline.cn",),
)

CLOUDS = {cloud.name: cloud for cloud in (PUBLIC, US_GOVERNMENT, CHINA)}

_NAMED = {name.lower(): cloud for cloud in CLOUDS.values() for name in (cloud.name, cloud.cli_name)}


def cloud_named(name: str) -> Cloud | None:
    """Return the cloud of a name, or None if there is none of that name.

    :param name: as ``cloud_environment`` or the Azure CLI has it; letter case and surrounding blanks do not matter.
    """
    return _NAMED.get(name.strip().lower())


def names_of_clouds() -> str:
    """Return the names that :func:`cloud_named` knows, for a message."""
    return ", ".join(dict.fromkeys(name for cloud in CLOUDS.values() for name in (cloud.name, cloud.cli_name)))


def cloud_at(authority_host: str) -> Cloud | None:
    """Return the cloud that an authority host belongs to, or None if it is none of theirs.

    :param authority_host: an https URL.
    """
    host = urlsplit(authority_host).hostname
    for cloud in CLOUDS.values():
        if host in (urlsplit(cloud.authority_host).hostname, *cloud.other_authorities):
            return cloud
    return None
