"""One call for each stock connection type, and for the asynchronous way where the type has one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow_azure_wi import at
from tests.recorder import Answer

Call = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Case:
    """A stock hook, called once.

    :param connection_type: of the stock provider.
    :param hook: its module and class.
    :param call: builds the hook from its class and a connection id, and lets it send a request.
    :param host: the host that the request must arrive at.
    :param audience: the audience that its access token must have.
    """

    connection_type: str
    hook: str
    call: Call
    host: str
    audience: str
    answers: tuple[Answer, ...] = ()
    is_async: bool = False

    @property
    def name(self) -> str:
        return f"{self.connection_type}-{self.hook.rpartition('.')[2]}-{'async' if self.is_async else 'sync'}"

    def run(self, conn_id: str) -> Any:
        module, _, name = self.hook.rpartition(".")
        hook = getattr(import_module(f"airflow.providers.microsoft.azure.hooks.{module}"), name)
        result = self.call(hook, conn_id)
        return asyncio.run(result) if self.is_async else result


MANAGEMENT = ("management.azure.com", "https://management.azure.com")
KEYS = Answer("POST .*/listKeys", {"keys": [{"keyName": "key1", "value": "a2V5"}], "primaryMasterKey": "a2V5"})
REGISTRY_KEYS = Answer("POST .*/listCredentials", {"passwords": [{"name": "password", "value": "key"}]})
RUN = Answer("GET .*/pipelineruns/", {"runId": "r", "status": "Succeeded"})
RUNNING = Answer("GET .*/instanceView", {"statuses": [{"code": "PowerState/running"}]})
NO_QUEUES = Answer("GET .*Resources/queues", '<feed xmlns="http://www.w3.org/2005/Atom"><title>Queues</title></feed>')
KUSTO_ANSWER = Answer(
    "POST /v2/rest/query",
    [
        {"FrameType": "DataSetHeader", "IsProgressive": False, "Version": "v2.0"},
        {
            "FrameType": "DataTable",
            "TableId": 0,
            "TableKind": "PrimaryResult",
            "TableName": "PrimaryResult",
            "Columns": [{"ColumnName": "print_0", "ColumnType": "long"}],
            "Rows": [[1]],
        },
        {"FrameType": "DataSetCompletion", "HasErrors": False, "Cancelled": False},
    ],
)
NOT_THERE = Answer("GET /v1/rest/auth/metadata", status=404)


def _generic(hook: Any, conn_id: str) -> Any:
    from azure.mgmt.storage import StorageManagementClient

    return list(hook(StorageManagementClient, conn_id).get_conn().storage_accounts.list())


async def _state_of_container(hook: Any, conn_id: str) -> Any:
    return await hook(conn_id).get_state("rg", "group")


async def _state_of_machine(hook: Any, conn_id: str) -> Any:
    async with hook(conn_id) as opened:
        assert await opened.async_get_power_state("rg", "vm") == "running"


async def _factory_run(hook: Any, conn_id: str) -> Any:
    async with hook(conn_id) as opened:
        assert await opened.get_adf_pipeline_run_status("r", "rg", "factory") == "Succeeded"


async def _synapse_run(hook: Any, conn_id: str) -> Any:
    async with hook("https://acct.dev.azuresynapse.net", conn_id) as opened:
        assert await opened.get_pipeline_run_status("r") == "Succeeded"


async def _refresh_model(hook: Any, conn_id: str) -> Any:
    opened = hook(at(conn_id, "https://westeurope.asazure.windows.net"))
    try:
        assert await opened.trigger_refresh("server", "database") == "42"
    finally:
        await opened.aclose()


async def _graph(hook: Any, conn_id: str) -> Any:
    opened = hook(conn_id)
    try:
        return await opened.run("users")
    finally:
        await _close(opened)


async def _workspaces(hook: Any, conn_id: str) -> Any:
    opened = hook(conn_id)
    try:
        assert await opened.get_workspace_list() == ["w"]
    finally:
        await _close(opened)


async def _close(hook: Any) -> None:
    # An adapter belongs to the event loop that it was made in, and the stock hook keeps it for the whole process.
    if hasattr(hook, "close"):
        await hook.close()
    hook.cached_request_adapters.clear()


async def _agent(hook: Any, conn_id: str) -> Any:
    opened = hook(at(conn_id, "https://acct.services.ai.azure.com/api/projects/p"))
    try:
        client = await opened.get_async_conn()
        return [item async for item in client.agents.list()]
    finally:
        await opened.close()


def _agents(hook: Any, conn_id: str) -> Any:
    return list(hook(at(conn_id, "https://acct.services.ai.azure.com/api/projects/p")).get_conn().agents.list())


CASES = (
    Case("azure", "base_azure.AzureBaseHook", _generic, *MANAGEMENT, answers=(Answer("GET", {"value": []}),)),
    Case(
        "azure_compute",
        "compute.AzureComputeHook",
        lambda hook, c: hook(c).get_power_state("rg", "vm"),
        *MANAGEMENT,
        (RUNNING,),
    ),
    Case("azure_compute", "compute.AzureComputeHook", _state_of_machine, *MANAGEMENT, (RUNNING,), is_async=True),
    Case(
        "azure_container_instance",
        "container_instance.AzureContainerInstanceHook",
        lambda hook, c: hook(c).get_state("rg", "group"),
        *MANAGEMENT,
    ),
    Case(
        "azure_container_instance",
        "container_instance.AzureContainerInstanceAsyncHook",
        _state_of_container,
        *MANAGEMENT,
        is_async=True,
    ),
    Case(
        "azure_container_registry",
        "container_registry.AzureContainerRegistryHook",
        lambda hook, c: hook(at(c, "https://acct.azurecr.io")).connection,
        *MANAGEMENT,
        (REGISTRY_KEYS,),
    ),
    Case(
        "azure_container_volume",
        "container_volume.AzureContainerVolumeHook",
        lambda hook, c: hook(c).get_storagekey(storage_account_name="acct"),
        *MANAGEMENT,
        (KEYS,),
    ),
    Case(
        "azure_cosmos",
        "cosmos.AzureCosmosDBHook",
        lambda hook, c: hook(at(c, "https://acct.documents.azure.com")).get_conn(),
        *MANAGEMENT,
        (KEYS,),
    ),
    Case(
        "azure_data_factory",
        "data_factory.AzureDataFactoryHook",
        lambda hook, c: hook(c).get_pipeline_run("r", "rg", "factory"),
        *MANAGEMENT,
        (RUN,),
    ),
    Case(
        "azure_data_factory", "data_factory.AzureDataFactoryAsyncHook", _factory_run, *MANAGEMENT, (RUN,), is_async=True
    ),
    Case(
        "azure_data_lake",
        "data_lake.AzureDataLakeHook",
        lambda hook, c: hook(at(c, "https://acct.azuredatalakestore.net")).list("folder"),
        "acct.azuredatalakestore.net",
        "https://datalake.azure.net/",
        (Answer("GET /webhdfs", {"FileStatuses": {"FileStatus": [], "continuationToken": ""}}),),
    ),
    Case(
        "adls",
        "data_lake.AzureDataLakeStorageV2Hook",
        lambda hook, c: hook(at(c, "https://recorded.dfs.core.windows.net")).create_file_system("files"),
        "recorded.blob.core.windows.net",
        "https://storage.azure.com",
        (Answer("PUT", "", 201),),
    ),
    Case(
        "azure_fileshare",
        "fileshare.AzureFileShareHook",
        lambda hook, c: hook(
            azure_fileshare_conn_id=at(c, "https://acct.file.core.windows.net"), share_name="s", directory_path="d"
        ).check_for_directory(),
        "acct.file.core.windows.net",
        "https://storage.azure.com",
        (Answer("GET", "", 200),),
    ),
    Case(
        "azure_data_explorer",
        "adx.AzureDataExplorerHook",
        lambda hook, c: hook(at(c, "https://acct.westeurope.kusto.windows.net")).run_query("print 1", "db"),
        "acct.westeurope.kusto.windows.net",
        "https://kusto.kusto.windows.net",
        (KUSTO_ANSWER, NOT_THERE),
    ),
    Case(
        "azure_ai_agents",
        "ai_agents.AzureAIAgentsHook",
        _agents,
        "acct.services.ai.azure.com",
        "https://ai.azure.com",
        (Answer("GET", {"data": [], "has_more": False}),),
    ),
    Case(
        "azure_ai_agents",
        "ai_agents.AzureAIAgentsAsyncHook",
        _agent,
        "acct.services.ai.azure.com",
        "https://ai.azure.com",
        (Answer("GET", {"data": [], "has_more": False}),),
        is_async=True,
    ),
    Case(
        "azure_analysis_services",
        "analysis_services.AzureAnalysisServicesHook",
        _refresh_model,
        "westeurope.asazure.windows.net",
        "https://*.asazure.windows.net",
        (
            Answer(
                "POST", {}, 202, {"Location": "https://westeurope.asazure.windows.net/servers/s/models/d/refreshes/42"}
            ),
        ),
        is_async=True,
    ),
    Case(
        "azure_batch",
        "batch.AzureBatchHook",
        lambda hook, c: list(hook(at(c, "https://acct.westeurope.batch.azure.com")).connection.list_pools()),
        "acct.westeurope.batch.azure.com",
        "https://batch.core.windows.net/",
        (Answer("GET", {"value": []}),),
    ),
    Case(
        "msgraph",
        "msgraph.KiotaRequestAdapterHook",
        _graph,
        "graph.microsoft.com",
        "https://graph.microsoft.com",
        is_async=True,
    ),
    Case(
        "powerbi",
        "powerbi.PowerBIHook",
        _workspaces,
        "api.powerbi.com",
        "https://analysis.windows.net/powerbi/api",
        (Answer("GET", {"value": [{"id": "w"}]}),),
        is_async=True,
    ),
    Case(
        "azure_service_bus",
        "asb.AdminClientHook",
        lambda hook, c: list(
            hook(azure_service_bus_conn_id=at(c, "https://acct.servicebus.windows.net")).get_conn().list_queues()
        ),
        "acct.servicebus.windows.net",
        "https://servicebus.azure.net/",
        (NO_QUEUES,),
    ),
    Case(
        "azure_synapse",
        "synapse.AzureSynapseHook",
        lambda hook, c: hook(at(c, "https://acct.dev.azuresynapse.net"), "pool")
        .get_conn()
        .spark_batch.get_spark_batch_job(1),
        "acct.dev.azuresynapse.net",
        "https://dev.azuresynapse.net",
        (Answer("GET", {"id": 1}),),
    ),
    Case(
        "azure_synapse",
        "synapse.AzureSynapsePipelineHook",
        lambda hook, c: hook("https://acct.dev.azuresynapse.net", c).get_pipeline_run_status("r"),
        "acct.dev.azuresynapse.net",
        "https://dev.azuresynapse.net",
        (RUN,),
    ),
    Case(
        "azure_synapse",
        "synapse.AzureSynapsePipelineAsyncHook",
        _synapse_run,
        "acct.dev.azuresynapse.net",
        "https://dev.azuresynapse.net",
        (RUN,),
        is_async=True,
    ),
)
