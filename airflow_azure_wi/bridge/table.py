"""What single stock hooks need beyond what all of them share. Data only."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from airflow_azure_wi import airflow_compat

T = TypeVar("T")

STOCK = "airflow.providers.microsoft.azure"
DATABRICKS = "airflow.providers.databricks"
ODBC = "airflow.providers.odbc"
MYSQL = "airflow.providers.mysql"


class ConnectionMapping(NamedTuple):
    """Which fields of a connection a hook reads, and what the bridge writes into them.

    A field is a column of the connection, such as ``host``, or ``extra.`` and a key.

    :param endpoint: the fields for the endpoint, each with the form that the hook expects: the name of a property of
        :class:`~airflow_azure_wi.endpoints.Endpoint`. The endpoint is the one in the connection id or, if the id has
        none, the connection's own host if that is a URL.
    :param constants: fields with a fixed value, which makes the hook choose token authentication.
    """

    endpoint: Mapping[str, str] = MappingProxyType({"host": "url"})
    constants: Mapping[str, object] = MappingProxyType({})


# By the class of the stock hook or its nearest ancestor in this table. BaseHook is Airflow's own.
CONNECTION_MAPPINGS = {
    "AzureAIAgentsHook": ConnectionMapping({"host": "url", "extra.endpoint": "url"}),
    "AzureAnalysisServicesHook": ConnectionMapping({"host": "hostname"}),
    # get_token() raises an error without this.
    "AzureBaseHook": ConnectionMapping(constants={"extra.use_azure_identity_object": True}),
    "AzureBatchHook": ConnectionMapping({"extra.account_url": "url"}),
    "AzureContainerRegistryHook": ConnectionMapping({"host": "hostname", "login": "account"}),
    "AzureCosmosDBHook": ConnectionMapping({"login": "url"}),
    "AzureDataExplorerHook": ConnectionMapping(constants={"extra.auth_method": "AZURE_TOKEN_CRED"}),
    "AzureDataLakeHook": ConnectionMapping({"extra.account_name": "account"}),
    "AzureDataLakeStorageV2Hook": ConnectionMapping({"extra.account_url": "url"}),
    "AzureFileShareHook": ConnectionMapping({"login": "url"}),
    "BaseDatabricksHook": ConnectionMapping({"host": "hostname", "port": "port"}),
    # A missing schema would become the connection string "None".
    "BaseAzureServiceBusHook": ConnectionMapping(
        {"extra.fully_qualified_namespace": "hostname"}, constants={"schema": ""}
    ),
    # Called by the file system for abfs://, which needs the account's name and host, and by asynchronous hooks, which
    # need the host or, for AI agents, the endpoint.
    "BaseHook": ConnectionMapping(
        {
            "host": "url",
            "extra.account_name": "account",
            "extra.account_host": "location",
            "extra.endpoint": "url",
        }
    ),
}

# The extras that are copied for stock hooks, and their types: "text", "name" (letters, digits and . _ -), "number" or
# "switch". A hook gets these, the endpoint fields above and the identity, and nothing else. Hooks pass extras that they
# do not read on to an SDK client, where `_hosts`, `proxies`, `audience` or `connection_verify` would change where an
# access token is sent, and for which audience.
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
        # For Microsoft Graph. An absolute URL as the version would replace the hook's own URL, hence "name". The
        # allowed hosts can only be restricted, and the environment's proxies are set by the deployment.
        "allowed_hosts": "text",
        "api_version": "name",
        "trust_env": "switch",
        "use_azure_identity_object": "switch",
        # For data transfers with Azure Storage.
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


VALUE_TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str) and value.isprintable(),
    "name": lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]*", value) is not None,
    "number": lambda value: type(value) in (int, float) or (isinstance(value, str) and value.isdecimal()),
    "switch": lambda value: isinstance(value, bool) or str(value).lower() in ("", "true", "false"),
}

# The extras that name the identity, and what `az identity show` prints beside them, in lower case and without
# underscores. They are left out without a warning: stock hooks get the identity under their own names.
IDENTITY_EXTRAS = frozenset(
    {
        "clientid",
        "managedidentityclientid",
        "tenantid",
        "workloadidentitytenantid",
        "subscriptionid",
        "cloudenvironment",
        "clientsecreturl",
        "id",
        "isolationscope",
        "location",
        "name",
        "outputs",
        "principalid",
        "properties",
        "resourcegroup",
        "systemdata",
        "tags",
        "type",
    }
)


def endpoint_extras() -> frozenset[str]:
    """Return the extras that some hook reads its endpoint from."""
    fields = {field for mapping in CONNECTION_MAPPINGS.values() for field in mapping.endpoint}
    return frozenset(field.removeprefix("extra.") for field in fields if field.startswith("extra."))


class RequiredEndpoint(NamedTuple):
    """An endpoint that a hook needs.

    Without one, stock hooks fail with a TypeError or call a host such as ``None.blob.core.windows.net``, which may
    belong to a stranger.

    :param caller: what needs it: the name of a hook's class, or a description.
    :param fields: the fields that it may come from, as in :class:`ConnectionMapping`. One of them is enough.
    :param example: a URL for the error message.
    """

    caller: str
    fields: tuple[str, ...]
    example: str


# By class, as above. Not here: hooks that get the endpoint as an argument or have a default, and AzureAIAgentsHook,
# which reports a missing endpoint itself.
REQUIRED_ENDPOINTS = {
    required.caller: required
    for required in (
        RequiredEndpoint("AzureAnalysisServicesHook", ("host",), "https://REGION.asazure.windows.net"),
        RequiredEndpoint("AzureBatchHook", ("extra.account_url",), "https://ACCOUNT.REGION.batch.azure.com"),
        RequiredEndpoint("AzureContainerRegistryHook", ("host",), "https://REGISTRY.azurecr.io"),
        RequiredEndpoint("AzureCosmosDBHook", ("login",), "https://ACCOUNT.documents.azure.com"),
        RequiredEndpoint("AzureDataExplorerHook", ("host",), "https://CLUSTER.REGION.kusto.windows.net"),
        RequiredEndpoint("AzureDataLakeHook", ("extra.account_name",), "https://ACCOUNT.azuredatalakestore.net"),
        RequiredEndpoint(
            "AzureDataLakeStorageV2Hook", ("extra.account_url", "host"), "https://ACCOUNT.dfs.core.windows.net"
        ),
        RequiredEndpoint("AzureFileShareHook", ("login",), "https://ACCOUNT.file.core.windows.net"),
        RequiredEndpoint("AzureSynapseHook", ("host",), "https://WORKSPACE.dev.azuresynapse.net"),
        RequiredEndpoint(
            "BaseAzureServiceBusHook", ("extra.fully_qualified_namespace",), "https://NAMESPACE.servicebus.windows.net"
        ),
        RequiredEndpoint("BaseDatabricksHook", ("host",), "https://adb-1234567890123456.7.azuredatabricks.net"),
        RequiredEndpoint("WasbHook", ("host", "login"), "https://ACCOUNT.blob.core.windows.net"),
    )
}
# Hooks whose requests always go to the same place, by class as above. They ignore the endpoint of a connection id, so
# the bridge rejects it: the host that the DAG names would never be called.
FIXED_DESTINATIONS = MappingProxyType(
    {
        "AzureComputeHook": "Azure Resource Manager",
        "AzureContainerInstanceHook": "Azure Resource Manager",
        "AzureContainerVolumeHook": "Azure Resource Manager",
        "AzureDataFactoryHook": "Azure Resource Manager",
        "AzureSynapsePipelineHook": "the workspace in its argument azure_synapse_workspace_dev_endpoint",
    }
)
FILE_SYSTEM_ENDPOINT = RequiredEndpoint(
    "the file system abfs://", ("extra.account_name",), "https://ACCOUNT.blob.core.windows.net"
)


class PatchedFunction(NamedTuple):
    """A function that the bridge replaces.

    :param module: the module that it is looked up in.
    :param name: its name there; ``Class.method`` for a method.
    :param replacement: the function that is called instead, in :mod:`~airflow_azure_wi.bridge.credentials` or
        :mod:`~airflow_azure_wi.bridge.other_providers`.
    :param since: the first version of the provider that has it; empty if all supported versions do.
    :param until: the first version that no longer has it.
    :param is_partial: whether it is a ``functools.partial`` that hook modules import by name, some of them before the
        bridge is turned on. It is changed in place, for all of them.
    """

    module: str
    name: str
    replacement: str
    since: str = ""
    until: str = ""
    is_partial: bool = False


PATCHED_FUNCTIONS = (
    # The two credential factories, which most hooks use. Everything below does not, or cannot use what they return.
    PatchedFunction(f"{STOCK}.utils", "get_sync_default_azure_credential", "shared_credential", is_partial=True),
    PatchedFunction(f"{STOCK}.utils", "get_async_default_azure_credential", "shared_async_credential", is_partial=True),
    # Passes the argument credentials=, which current SDK clients no longer have.
    PatchedFunction(f"{STOCK}.hooks.base_azure", "AzureBaseHook.get_conn", "azure_client"),
    # Rejects a tenant without a secret.
    PatchedFunction(
        f"{STOCK}.hooks.ai_agents",
        "AzureAIAgentsHook._should_use_client_secret_credential",
        "ai_agents_secret",
        since="14.0",
    ),
    # These only support secrets and certificates. (The Power BI hook derives from that of Microsoft Graph.)
    PatchedFunction(
        f"{STOCK}.hooks.analysis_services",
        "AzureAnalysisServicesHook._get_credential",
        "analysis_services_credential",
        since="15.1",
    ),
    PatchedFunction(f"{STOCK}.hooks.msgraph", "KiotaRequestAdapterHook.get_credentials", "msgraph_credentials"),
    # Expects scheme and host in separate fields, but reads its connection through BaseHook.
    PatchedFunction(f"{STOCK}.hooks.msgraph", "KiotaRequestAdapterHook.get_host", "msgraph_host"),
    # These read their connection through BaseHook, so that the bridge does not see which hook it is for.
    PatchedFunction(f"{STOCK}.hooks.wasb", "WasbAsyncHook.get_async_conn", "wasb_async_client"),
    PatchedFunction(f"{STOCK}.fs.adls", "get_fs", "file_system"),
    # Only supports secrets and certificates.
    PatchedFunction(f"{STOCK}.fs.msgraph", "get_fs", "graph_file_system", since="12.8"),
    # These read the connection that azure_conn_id names without BaseHook.
    PatchedFunction("airflow.providers.postgres.hooks.postgres", "PostgresHook.get_azure_iam_token", "postgres_token"),
    PatchedFunction(
        "airflow.providers.snowflake.hooks.snowflake", "SnowflakeHook.get_azure_oauth_token", "snowflake_token"
    ),
    # Access tokens for Databricks: a connection of this package, or one of type databricks that names azure_conn_id.
    PatchedFunction(f"{DATABRICKS}.hooks.databricks_base", "BaseDatabricksHook._get_token", "databricks_token"),
    PatchedFunction(f"{DATABRICKS}.hooks.databricks_base", "BaseDatabricksHook._a_get_token", "async_databricks_token"),
    # Access tokens for Azure Resource Manager, where the extra has azure_resource_id.
    PatchedFunction(f"{DATABRICKS}.hooks.databricks_base", "BaseDatabricksHook._get_aad_token", "azure_token"),
    PatchedFunction(f"{DATABRICKS}.hooks.databricks_base", "BaseDatabricksHook._a_get_aad_token", "async_azure_token"),
    # Passes extras on to the SQL connector.
    PatchedFunction(
        f"{DATABRICKS}.hooks.databricks_sql", "DatabricksSqlHook._get_extra_config", "databricks_sql_options"
    ),
    # Access tokens for databases of Azure SQL, where the extra of a connection of type odbc has azure_conn_id.
    PatchedFunction(f"{ODBC}.hooks.odbc", "OdbcHook.connect_kwargs", "odbc_connect_kwargs"),
    # Puts all extras into the connection string.
    PatchedFunction(f"{ODBC}.hooks.odbc", "OdbcHook.odbc_connection_string", "odbc_connection_string"),
    # Access tokens for databases of Azure Database for MySQL, where the extra of a connection of type mysql has
    # azure_conn_id: for each client library, for the extra `iam`, and for engines of SQLAlchemy.
    PatchedFunction(f"{MYSQL}.hooks.mysql", "MySqlHook._get_conn_config_mysql_client", "mysqlclient_arguments"),
    PatchedFunction(
        f"{MYSQL}.hooks.mysql", "MySqlHook._get_conn_config_mysql_connector_python", "mysql_connector_arguments"
    ),
    PatchedFunction(f"{MYSQL}.hooks.mysql", "MySqlHook.get_iam_token", "mysql_iam_token"),
    PatchedFunction(f"{MYSQL}.hooks.mysql", "MySqlHook.get_uri", "mysql_uri"),
    PatchedFunction("airflow.providers.common.sql.hooks.sql", "DbApiHook.get_sqlalchemy_engine", "sql_engine"),
    # These create a DefaultAzureCredential themselves.
    PatchedFunction(f"{STOCK}.hooks.synapse", "AsyncDefaultAzureCredential", "shared_async_credential", since="13.2"),
    PatchedFunction("adlfs.spec", "AzureBlobFileSystem._get_default_azure_credential", "adls_credentials"),
    # The secrets backend has settings of its own, and no connection.
    PatchedFunction(f"{STOCK}.secrets.key_vault", "get_sync_default_azure_credential", "key_vault_credential"),
    # Creates a credential that current clients of the service do not accept.
    PatchedFunction(
        f"{STOCK}.hooks.data_lake", "AzureIdentityCredentialAdapter", "data_lake_credential", until="15.2.1"
    ),
)


def is_stock_class(class_: type[object]) -> bool:
    """Return whether a class belongs to the stock or the Databricks provider; its name does not count."""
    return provider_of(class_.__module__) is not None


def provider_of(module: str) -> str | None:
    """Return the package of the provider whose connections the bridge serves, or None for all other modules."""
    return next((provider for provider in (STOCK, DATABRICKS) if module.startswith(f"{provider}.")), None)


def find(entries: Mapping[str, T], hook_class: type[object]) -> T | None:
    """Return the entry for a hook's class or its nearest ancestor, or None if there is none."""
    ancestors = (
        ancestor.__name__
        for ancestor in hook_class.__mro__
        if is_stock_class(ancestor) or ancestor.__module__ in airflow_compat.BASE_HOOK_MODULES
    )
    return next((entries[name] for name in ancestors if name in entries), None)


def modules() -> list[str]:
    """Return the names of the modules that hold the patched functions."""
    return list(dict.fromkeys(function.module for function in PATCHED_FUNCTIONS))
