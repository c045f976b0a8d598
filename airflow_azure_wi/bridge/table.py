"""What single stock hooks need beyond what all of them share. Data only."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

STOCK = "airflow.providers.microsoft.azure"


class Reading(NamedTuple):
    """How a hook reads a connection.

    An endpoint is the one that the call names or, where it names none, the connection's own host if that is a URL.

    :param endpoint: where the hook looks for its endpoint, and in which form: a field of the connection or ``extra.``
        and a key, to the name of a property of :class:`~airflow_azure_wi.endpoints.Endpoint`.
    :param also: values that make it choose token authentication, keyed the same way.
    """

    endpoint: Mapping[str, str] = MappingProxyType({"host": "url"})
    also: Mapping[str, object] = MappingProxyType({})


# By the name of the stock hook's class or of one that it derives from; the first that matches is used. BaseHook is
# Airflow's own.
READINGS = {
    "AzureAIAgentsHook": Reading({"host": "url", "extra.endpoint": "url"}),
    "AzureAnalysisServicesHook": Reading({"host": "hostname"}),
    # Its get_token() refuses without this.
    "AzureBaseHook": Reading(also={"extra.use_azure_identity_object": True}),
    "AzureBatchHook": Reading({"extra.account_url": "url"}),
    "AzureContainerRegistryHook": Reading({"host": "hostname", "login": "account"}),
    "AzureCosmosDBHook": Reading({"login": "url"}),
    "AzureDataExplorerHook": Reading(also={"extra.auth_method": "AZURE_TOKEN_CRED"}),
    "AzureDataLakeHook": Reading({"extra.account_name": "account"}),
    "AzureDataLakeStorageV2Hook": Reading({"extra.account_url": "url"}),
    "AzureFileShareHook": Reading({"login": "url"}),
    # It takes a missing schema for the connection string "None".
    "BaseAzureServiceBusHook": Reading({"extra.fully_qualified_namespace": "hostname"}, also={"schema": ""}),
    # Asked by the file system of abfs://, which wants both names of an account, and by asynchronous hooks, which want
    # the host or, for AI agents, the endpoint.
    "BaseHook": Reading(
        {
            "host": "url",
            "extra.account_name": "account",
            "extra.account_host": "location",
            "extra.endpoint": "url",
        }
    ),
}

# The settings of the extra that stock hooks are shown, and what their value has to be: "text" and "name" (letters,
# digits and . _ -), "number" or "switch". Beside them and the places above, a hook is shown the identity and nothing
# else: extras that it does not read itself go on to a client of the SDK, to which `_hosts`, `proxies`, `audience` or
# `connection_verify` would say where an access token is sent, and for what.
SETTINGS = MappingProxyType(
    {
        "batch_size": "number",
        "collection_name": "text",
        "database_name": "text",
        "drive_id": "text",
        "factory_name": "text",
        "index": "text",
        "partition_key": "text",
        "resource_group": "text",
        "resource_group_name": "text",
        # Of Microsoft Graph. The hook joins the version to its URL, where an absolute one would take the URL's place;
        # allowed hosts can only be fewer; the environment is the deployment's.
        "allowed_hosts": "text",
        "api_version": "name",
        "trust_env": "switch",
        "use_azure_identity_object": "switch",
        # How clients of Azure Storage transfer data.
        "connection_timeout": "number",
        "max_block_size": "number",
        "max_chunk_get_size": "number",
        "max_page_size": "number",
        "max_single_get_size": "number",
        "max_single_put_size": "number",
        "min_large_block_upload_threshold": "number",
        "read_timeout": "number",
        "retry_connect": "number",
        "retry_read": "number",
        "retry_status": "number",
        "retry_total": "number",
    }
)


def endpoint_extras() -> frozenset[str]:
    """Return the extras in which some hook looks for its endpoint."""
    places = {place for reading in READINGS.values() for place in reading.endpoint}
    return frozenset(place.removeprefix("extra.") for place in places if place.startswith("extra."))


class Need(NamedTuple):
    """An endpoint that a hook cannot do without.

    Where there is none, stock hooks call a host named ``None.blob.core.windows.net`` or the like, which may belong to a
    stranger, or fail with a TypeError.

    :param who: who needs it.
    :param places: where it looks for it, as in :class:`Reading`; one is enough.
    :param example: what one looks like.
    """

    who: str
    places: tuple[str, ...]
    example: str


# By the name of the stock hook's class or of one that it derives from. Missing are those that are told the endpoint by
# the call or have a default, and AzureAIAgentsHook, which says so itself.
NEEDS = {
    need.who: need
    for need in (
        Need("AzureAnalysisServicesHook", ("host",), "https://REGION.asazure.windows.net"),
        Need("AzureBatchHook", ("extra.account_url",), "https://ACCOUNT.REGION.batch.azure.com"),
        Need("AzureContainerRegistryHook", ("host",), "https://REGISTRY.azurecr.io"),
        Need("AzureCosmosDBHook", ("login",), "https://ACCOUNT.documents.azure.com"),
        Need("AzureDataExplorerHook", ("host",), "https://CLUSTER.REGION.kusto.windows.net"),
        Need("AzureDataLakeHook", ("extra.account_name",), "https://ACCOUNT.azuredatalakestore.net"),
        Need("AzureDataLakeStorageV2Hook", ("extra.account_url", "host"), "https://ACCOUNT.dfs.core.windows.net"),
        Need("AzureFileShareHook", ("login",), "https://ACCOUNT.file.core.windows.net"),
        Need("AzureSynapseHook", ("host",), "https://WORKSPACE.dev.azuresynapse.net"),
        Need(
            "BaseAzureServiceBusHook", ("extra.fully_qualified_namespace",), "https://NAMESPACE.servicebus.windows.net"
        ),
        Need("WasbHook", ("host", "login"), "https://ACCOUNT.blob.core.windows.net"),
    )
}
# By the name of the stock hook's class or of one that it derives from: where it sends its requests, whatever the
# connection says. An id with an endpoint is refused there: it would be a host that is named and never called.
WITHOUT_ENDPOINT = MappingProxyType(
    {
        "AzureComputeHook": "Azure Resource Manager",
        "AzureContainerInstanceHook": "Azure Resource Manager",
        "AzureContainerVolumeHook": "Azure Resource Manager",
        "AzureDataFactoryHook": "Azure Resource Manager",
        "AzureSynapsePipelineHook": "the workspace in its argument azure_synapse_workspace_dev_endpoint",
    }
)
FILE_SYSTEM = Need("the file system abfs://", ("extra.account_name",), "https://ACCOUNT.blob.core.windows.net")


class Function(NamedTuple):
    """A function that stock hooks call, and that gets no credential from the factories or none that can be used.

    :param module: the module that it is looked up in.
    :param name: the function in it, or the method as ``Class.method``.
    :param replacement: the function in :mod:`~airflow_azure_wi.bridge.functions` that is called in its place.
    :param since: the stock version that brought it, if not every version that is supported has it.
    :param until: the stock version that did away with it.
    """

    module: str
    name: str
    replacement: str
    since: str = ""
    until: str = ""


FUNCTIONS = (
    # Passes credentials=, which no current SDK client takes.
    Function(f"{STOCK}.hooks.base_azure", "AzureBaseHook.get_conn", "azure_client"),
    # Takes a tenant without a secret for a mistake.
    Function(
        f"{STOCK}.hooks.ai_agents",
        "AzureAIAgentsHook._should_use_client_secret_credential",
        "ai_agents_secret",
        since="14.0",
    ),
    # They know secrets and certificates only. (The hook of Power BI derives from that of Microsoft Graph.)
    Function(
        f"{STOCK}.hooks.analysis_services",
        "AzureAnalysisServicesHook._get_credential",
        "analysis_services_credential",
        since="15.1",
    ),
    Function(f"{STOCK}.hooks.msgraph", "KiotaRequestAdapterHook.get_credentials", "msgraph_credentials"),
    # Wants scheme and host apart, but its connection is read as that of any asynchronous hook.
    Function(f"{STOCK}.hooks.msgraph", "KiotaRequestAdapterHook.get_host", "msgraph_host"),
    # They read their connection through BaseHook, which does not say who asks.
    Function(f"{STOCK}.hooks.wasb", "WasbAsyncHook.get_async_conn", "wasb_async_client"),
    Function(f"{STOCK}.fs.adls", "get_fs", "file_system"),
    # Look for azure_conn_id without BaseHook.
    Function("airflow.providers.postgres.hooks.postgres", "PostgresHook.get_azure_iam_token", "postgres_token"),
    Function("airflow.providers.snowflake.hooks.snowflake", "SnowflakeHook.get_azure_oauth_token", "snowflake_token"),
    # These make a DefaultAzureCredential themselves.
    Function(f"{STOCK}.hooks.synapse", "AsyncDefaultAzureCredential", "synapse_credential", since="13.2"),
    Function("adlfs.spec", "AzureBlobFileSystem._get_default_azure_credential", "adls_credentials"),
    # Makes a credential that no current client of the service takes.
    Function(f"{STOCK}.hooks.data_lake", "AzureIdentityCredentialAdapter", "data_lake_credential", until="15.2.1"),
)


def is_stock(class_: type[object]) -> bool:
    """Return whether a class is of the stock provider; what it is called says nothing."""
    return class_.__module__.startswith(f"{STOCK}.")


def need_of(reader: type[object]) -> Need | None:
    """Return the endpoint that a hook needs, or None where it needs none."""
    return next((NEEDS[name] for name in _stock_names(reader) if name in NEEDS), None)


def fixed_destination_of(reader: type[object]) -> tuple[str, str] | None:
    """Return the stock class of a hook that takes no endpoint, and where it sends its requests; None for the others."""
    return next(((name, WITHOUT_ENDPOINT[name]) for name in _stock_names(reader) if name in WITHOUT_ENDPOINT), None)


def _stock_names(reader: type[object]) -> Iterator[str]:
    return (ancestor.__name__ for ancestor in reader.__mro__ if is_stock(ancestor))


def modules() -> list[str]:
    """Return the names of the modules that the functions are in."""
    return list(dict.fromkeys(function.module for function in FUNCTIONS))
