"""The Azure services that every tenant has, by the URI (or application id) that a scope starts with."""

import re

from airflow_azure_wi.clouds import CLOUDS

KNOWN_RESOURCES = frozenset(
    {
        *(cloud.resource_manager for cloud in CLOUDS.values()),
        *(cloud.sql_resource for cloud in CLOUDS.values()),
        *(cloud.token_exchange_audience.lower() for cloud in CLOUDS.values()),
        "https://management.core.windows.net",
        "https://storage.azure.com",
        "https://vault.azure.net",
        "https://managedhsm.azure.net",
        "https://graph.microsoft.com",
        "https://graph.windows.net",
        "https://ossrdbms-aad.database.windows.net",
        "https://servicebus.azure.net",
        "https://eventhubs.azure.net",
        "https://eventgrid.azure.net",
        "https://relay.azure.net",
        "https://iothubs.azure.net",
        "https://cosmos.azure.com",
        "https://datalake.azure.net",
        "https://kusto.kusto.windows.net",
        "https://api.kusto.windows.net",
        "https://help.kusto.windows.net",
        "https://dev.azuresynapse.net",
        "https://analysis.windows.net/powerbi/api",
        "https://api.fabric.microsoft.com",
        "https://cognitiveservices.azure.com",
        "https://ai.azure.com",
        "https://ml.azure.com",
        "https://search.azure.com",
        "https://batch.core.windows.net",
        "https://containerregistry.azure.net",
        "https://monitor.azure.com",
        "https://api.loganalytics.io",
        "https://api.applicationinsights.io",
        "https://azconfig.io",
        "https://appconfig.azure.com",
        "https://redis.azure.com",
        "https://communication.azure.com",
        "https://purview.azure.net",
        "https://digitaltwins.azure.net",
        "https://atlas.microsoft.com",
        "https://signalr.azure.com",
        "https://webpubsub.azure.com",
        "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",  # Azure Databricks
        "6dae42f8-4368-4678-94ff-3960e28e3630",  # Azure Kubernetes Service
        "499b84ac-1321-427f-aa17-267ca6975798",  # Azure DevOps
        "e406a681-f3d4-42a8-90b6-c2b029497af1",  # Azure Storage
    }
)

# Services where each account is its own resource.
_ACCOUNT = re.compile(
    r"https://[a-z0-9-]+(\.[a-z0-9-]+)*\.("
    r"(blob|queue|table|file|dfs)\.core\.windows\.net|vault\.azure\.net|documents\.azure\.com|kusto\.windows\.net"
    r"|servicebus\.windows\.net|asazure\.windows\.net|azconfig\.io|search\.windows\.net)"
)


def is_known_resource(resource: str) -> bool:
    """Whether every tenant has this resource. One slash at the end does not matter."""
    name = resource.removesuffix("/").lower()
    return name in KNOWN_RESOURCES or _ACCOUNT.fullmatch(name) is not None
