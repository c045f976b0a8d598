"""The functions that the table lists, as they are with a connection of this package's type.

Each is called with the function that it replaces and the arguments of the call. With a connection of any other type, it
returns what that function returns.
"""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.connections import already_read, endpoint_needed, sign_in_through
from airflow_azure_wi.bridge.credentials import CLIENT_ID, SignIn, sign_in_for, sign_in_of
from airflow_azure_wi.bridge.imports import warn_once
from airflow_azure_wi.endpoints import endpoint_of, split
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.redaction import quoted

if TYPE_CHECKING:
    from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential


def replace_in(module: ModuleType) -> None:
    """Replace the functions of the table that are in a module."""
    for function in table.FUNCTIONS:
        if function.module == module.__name__:
            _replace(module, function)


def azure_client(original: Any, hook: Any) -> Any:
    """Build the SDK client of a generic Azure hook: with ``credential``, which current clients take."""
    if not hook.sdk_client:
        return original(hook)
    connection = hook.get_connection(hook.conn_id)
    sign_in = sign_in_through(connection)
    if sign_in is None:
        with already_read(hook.conn_id, connection):
            return original(hook)
    from inspect import signature

    from airflow_azure_wi.clients import arguments_for

    subscription_id = sign_in.identity.subscription_id
    parameters = signature(hook.sdk_client).parameters
    if "credentials" in parameters and "credential" not in parameters:
        # A client of the SDK's first generation.
        adapter = sys.modules[f"{table.STOCK}.utils"].AzureIdentityCredentialAdapter
        return hook.sdk_client(credentials=adapter(sign_in.credential()), subscription_id=subscription_id)
    arguments = arguments_for(
        hook.sdk_client,
        {},
        credential=sign_in.credential(),
        subscription_id=subscription_id,
        cloud=sign_in.identity.cloud,
        is_async=False,
        source=sign_in.name,
        endpoint=endpoint_of(hook.conn_id),
    )
    return hook.sdk_client(**arguments)


def ai_agents_secret(original: Any, connection: Any, tenant: str | None) -> Any:
    """Say that there is no client secret."""
    return False if sign_in_through(connection) else original(connection, tenant)


def analysis_services_credential(original: Any, hook: Any) -> Any:
    """Return the shared credential."""
    sign_in = sign_in_through(hook.connection)
    return original(hook) if sign_in is None else sign_in.async_credential()


def msgraph_credentials(original: Any, hook: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the shared credential, as one that the stock hook can ask whether it is closed."""
    config = kwargs.get("config") if "config" in kwargs else args[2]
    sign_in = sign_in_for((config or {}).get(CLIENT_ID))
    return original(hook, *args, **kwargs) if sign_in is None else _open_credential(sign_in)


def msgraph_host(original: Any, hook: Any, connection: Any) -> Any:
    """Return the endpoint of the call or the connection; the stock hook wants host and schema apart.

    Where the id names one, it overrides the host that the hook was built with: that of Power BI always is.
    """
    host = connection.host or ""
    if sign_in_through(connection) is None or not host.startswith("https://"):
        return original(hook, connection)
    is_named = split(hook.conn_id)[1] is not None
    return host if is_named or not getattr(hook, "host", None) else original(hook, connection)


async def wasb_async_client(original: Any, hook: Any) -> Any:
    """Build the client, unless there is no endpoint."""
    with endpoint_needed(table.NEEDS["WasbHook"]):
        return await original(hook)


def file_system(original: Any, conn_id: str | None, storage_options: Any = None, **kwargs: Any) -> Any:
    """Open the file system, unless there is no endpoint."""
    if "account_name" in (storage_options or {}):
        return original(conn_id, storage_options, **kwargs)
    with endpoint_needed(table.FILE_SYSTEM):
        return original(conn_id, storage_options, **kwargs)


def postgres_token(original: Any, hook: Any, connection: Any) -> Any:
    """Get the token; say that it takes no endpoint where the id names one."""
    with _plain_id_expected(connection.extra_dejson.get("azure_conn_id")):
        return original(hook, connection)


def snowflake_token(original: Any, hook: Any, azure_conn_id: str) -> Any:
    """Get the token; say that it takes no endpoint where the id names one."""
    with _plain_id_expected(azure_conn_id):
        return original(hook, azure_conn_id)


def synapse_credential(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the shared credential."""
    sign_in = sign_in_for(kwargs.get(CLIENT_ID))
    return original(*args, **kwargs) if sign_in is None else sign_in.async_credential()


def data_lake_credential(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the stock adapter, with the method that current clients of the service call."""
    adapter = original(*args, **kwargs)
    if (sign_in := sign_in_of(kwargs.get(CLIENT_ID))) is not None:
        adapter.get_token = sign_in.credential().get_token
    return adapter


def adls_credentials(original: Any, filesystem: Any, **kwargs: Any) -> Any:
    """Return the shared credential, and no synchronous one: there is none either where a caller passes a credential."""
    sign_in = sign_in_of(kwargs.get(CLIENT_ID))
    return original(filesystem, **kwargs) if sign_in is None else (sign_in.async_credential(), None)


@contextmanager
def _plain_id_expected(azure_conn_id: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        own_id, text = split(azure_conn_id) if isinstance(azure_conn_id, str) else ("", None)
        if text is None or not airflow_compat.is_not_found(error):
            raise
        raise EndpointError(
            f"azure_conn_id is {quoted(azure_conn_id)}, but gets a token for a database that has its own host, so it "
            f"takes no endpoint. Use the plain id: {quoted(own_id)}."
        ) from error


def _open_credential(sign_in: SignIn) -> Any:
    from azure.core.credentials_async import AsyncTokenCredential

    class OpenCredential(AsyncTokenCredential):
        """The shared credential, with what the stock hook asks of the one that it makes itself."""

        closed = False

        def __init__(self, credential: "AsyncWorkloadIdentityCredential") -> None:
            self._credential = credential

        async def get_token(self, *scopes: str, **kwargs: Any) -> Any:
            return await self._credential.get_token(*scopes, **kwargs)

        async def get_token_info(self, *scopes: str, **kwargs: Any) -> Any:
            return await self._credential.get_token_info(*scopes, **kwargs)

        async def close(self) -> None:
            """Leave it open for the others who use it."""

        async def __aexit__(self, *_: object) -> None:
            await self.close()

    return OpenCredential(sign_in.async_credential())


def _replace(module: ModuleType, function: table.Function) -> None:
    owner: Any = module
    *path, name = function.name.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    raw = None if owner is None else vars(owner).get(name)
    if raw is None:
        _warn_of_missing(module, function)
        return
    replacement = globals()[function.replacement]
    if isinstance(raw, staticmethod):
        setattr(owner, name, staticmethod(_in_place_of(raw.__func__, replacement)))
    else:
        setattr(owner, name, _in_place_of(raw, replacement))


def _in_place_of(original: Any, replacement: Any) -> Any:
    @functools.wraps(original, updated=())
    def replaced(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    return replaced


def _warn_of_missing(module: ModuleType, function: table.Function) -> None:
    if not function.module.startswith((table.STOCK, "adlfs.")):
        # Other providers got theirs at some time; before that they have no use for a connection of Azure.
        return
    installed = _numbers(str(getattr(sys.modules.get(table.STOCK), "__version__", "")))
    if installed < _numbers(function.since) or (function.until and installed >= _numbers(function.until)):
        return
    warn_once(
        f"{module.__name__} has no {function.name}, which the bridge of airflow-azure-wi replaces: there, "
        "azure_workload_identity connections work as without the bridge. Update airflow-azure-wi."
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
