"""Makes stock hooks sign in with the credential that everything else in this process uses.

Here are the replacements of functions of the stock provider, as :mod:`~airflow_azure_wi.bridge.table` names them, first
of all its two credential factories. With connections of any other type, they do what the originals do.

A factory gets two ids and no connection. A stock connection may contain the same ids and must keep its
``DefaultAzureCredential``. So stock hooks get the client id as a :class:`ClientId`, which is a plain string to everyone
else.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.imports import warn_once
from airflow_azure_wi.errors import EndpointError, WorkloadIdentityError
from airflow_azure_wi.redaction import excerpt, quoted

# All other imports are in the functions that need them: every process that has BaseHook imports this module.
if TYPE_CHECKING:
    from azure.identity import WorkloadIdentityCredential
    from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential

    from airflow_azure_wi.deployment import Deployment
    from airflow_azure_wi.identity import WorkloadIdentity

T = TypeVar("T")

# The extra that stock hooks read the client id from, and the argument that they pass it to the factories in.
CLIENT_ID = "managed_identity_client_id"

# The library behind the file system of SharePoint and OneDrive has it built in.
_GRAPH = "graph.microsoft.com"

# Its name in messages.
_KEY_VAULT_BACKEND = "the secrets backend AzureKeyVaultBackend (backend_kwargs in Airflow's configuration)"

# Set for calls of stock functions that read their connection through BaseHook, so that the bridge does not see which
# hook it is for: the endpoint that they need; a connection that was just read, and its id.
REQUIRED_ENDPOINT: ContextVar[table.RequiredEndpoint | None] = ContextVar("required_endpoint", default=None)
ALREADY_READ: ContextVar[tuple[str, Any] | None] = ContextVar("already_read", default=None)
# Of the connection that this thread or task read last; None if that is of another type.
LAST_SIGN_IN: ContextVar["SignIn | None"] = ContextVar("last_sign_in", default=None)


@dataclass(frozen=True)
class SignIn:
    """The identity of a connection, and the credential to sign in with.

    :param name: the name of the connection in messages.
    """

    identity: "WorkloadIdentity"
    name: str

    def credential(self) -> "WorkloadIdentityCredential":
        """Return the credential that everything in this process shares."""
        from airflow_azure_wi.auth import credential_for

        return credential_for(self.identity, _deployment(), used_by=self.name)

    def async_credential(self) -> "AsyncWorkloadIdentityCredential":
        """Return its counterpart for asynchronous clients."""
        from airflow_azure_wi.auth import async_credential_for

        return async_credential_for(self.identity, _deployment(), used_by=self.name)


class ClientId(str):
    """A client id that knows how to sign in with the connection that it was read from."""

    sign_in: SignIn

    @classmethod
    def of(cls, sign_in: SignIn) -> "ClientId":
        """Return the client id of an identity."""
        client_id = cls(sign_in.identity.client_id)
        client_id.sign_in = sign_in
        return client_id


def sign_in_of(owner: Any) -> SignIn | None:
    """Return how to sign in with a connection that the bridge gave to a stock hook; None for all other objects."""
    sign_in = getattr(owner, "azure_workload_identity", None)
    return sign_in if isinstance(sign_in, SignIn) else None


def sign_in_of_client_id(client_id: Any) -> SignIn | None:
    """Return how to sign in with a client id from a connection of this package; None for all others."""
    return client_id.sign_in if isinstance(client_id, ClientId) else None


def sign_in_of_last_read(client_id: Any) -> SignIn | None:
    """Return the same for a hook that parses the extra itself, which turns a :class:`ClientId` into a plain string.

    The connection that this thread or task read last tells whether the client id is from there.
    """
    last = LAST_SIGN_IN.get()
    is_from_last = last is not None and client_id == last.identity.client_id
    return sign_in_of_client_id(client_id) or (last if is_from_last else None)


# The replacements. Each is called with the original function and the arguments of the call.


def shared_credential(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the shared credential for the client id of a connection of this package."""
    sign_in = sign_in_of_last_read(kwargs.get(CLIENT_ID))
    return original(*args, **kwargs) if sign_in is None else sign_in.credential()


def shared_async_credential(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Return its asynchronous counterpart."""
    sign_in = sign_in_of_last_read(kwargs.get(CLIENT_ID))
    return original(*args, **kwargs) if sign_in is None else sign_in.async_credential()


def azure_client(original: Any, hook: Any) -> Any:
    """Create the SDK client of a generic Azure hook, with the argument ``credential`` that current clients take."""
    if not hook.sdk_client:
        return original(hook)
    connection = hook.get_connection(hook.conn_id)
    sign_in = sign_in_of(connection)
    if sign_in is None:
        with context_value(ALREADY_READ, (hook.conn_id, connection)):
            return original(hook)
    from inspect import signature

    from airflow_azure_wi.airflow_compat import operator
    from airflow_azure_wi.clients import arguments_for, user_agent
    from airflow_azure_wi.endpoints import endpoint_of

    subscription_id = sign_in.identity.subscription_id
    parameters = signature(hook.sdk_client).parameters
    if "credentials" in parameters and "credential" not in parameters:
        # A client of the first SDK generation.
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
        sender=user_agent(os.environ, operator()),
    )
    return hook.sdk_client(**arguments)


def ai_agents_secret(original: Any, connection: Any, tenant: str | None) -> Any:
    """Say that there is no client secret."""
    return False if sign_in_of(connection) else original(connection, tenant)


def analysis_services_credential(original: Any, hook: Any) -> Any:
    """Return the shared credential."""
    sign_in = sign_in_of(hook.connection)
    return original(hook) if sign_in is None else sign_in.async_credential()


def msgraph_credentials(original: Any, hook: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the shared credential, with the attribute ``closed`` that the stock hook reads."""
    config = kwargs.get("config") if "config" in kwargs else args[2]
    sign_in = sign_in_of_last_read((config or {}).get(CLIENT_ID))
    return original(hook, *args, **kwargs) if sign_in is None else _open_credential(sign_in)


def msgraph_host(original: Any, hook: Any, connection: Any) -> Any:
    """Return the endpoint of the connection id or the connection as a URL.

    An endpoint in the id overrides the host that the hook was created with, which the Power BI hook always is.
    """
    from airflow_azure_wi.endpoints import has_endpoint

    host = connection.host or ""
    if sign_in_of(connection) is None or not host.startswith("https://"):
        return original(hook, connection)
    return host if has_endpoint(hook.conn_id) or not getattr(hook, "host", None) else original(hook, connection)


async def wasb_async_client(original: Any, hook: Any) -> Any:
    """Create the client; raise an error if there is no endpoint."""
    with context_value(REQUIRED_ENDPOINT, table.REQUIRED_ENDPOINTS["WasbHook"]):
        return await original(hook)


def file_system(original: Any, conn_id: str | None, storage_options: Any = None, **kwargs: Any) -> Any:
    """Open the file system; raise an error if there is no endpoint."""
    if "account_name" in (storage_options or {}):
        return original(conn_id, storage_options, **kwargs)
    with context_value(REQUIRED_ENDPOINT, table.FILE_SYSTEM_ENDPOINT):
        return original(conn_id, storage_options, **kwargs)


def graph_file_system(original: Any, conn_id: str | None, storage_options: Any = None, **kwargs: Any) -> Any:
    """Open the file system of SharePoint and OneDrive with the shared credential."""
    if conn_id is None:
        return original(conn_id, storage_options, **kwargs)
    from airflow_azure_wi.airflow_compat import BaseHook
    from airflow_azure_wi.endpoints import has_endpoint

    connection, options = BaseHook.get_connection(conn_id), storage_options or {}
    sign_in = sign_in_of(connection)
    if sign_in is None or "client_id" in options:
        with context_value(ALREADY_READ, (conn_id, connection)):
            return original(conn_id, storage_options, **kwargs)
    if has_endpoint(conn_id):
        raise ignored_endpoint(conn_id, "the file system of Microsoft Graph", _GRAPH)
    # This token is never sent. Having no time at which it expires, it is never asked for again.
    placeholder = {"access_token": "none", "token_type": "Bearer"}
    params = {"token": placeholder, "event_hooks": {"request": [_GraphToken(sign_in)]}}
    drive_id = options.get("drive_id") or connection.extra_dejson.get("drive_id")
    return _graph_file_system_class()(drive_id=drive_id, oauth2_client_params=params)


def data_lake_credential(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the stock adapter with ``get_token``, which current clients of the service call."""
    adapter = original(*args, **kwargs)
    if (sign_in := sign_in_of_client_id(kwargs.get(CLIENT_ID))) is not None:
        adapter.get_token = sign_in.credential().get_token
    return adapter


def adls_credentials(original: Any, filesystem: Any, **kwargs: Any) -> Any:
    """Return the shared credential, and None for the synchronous one, as adlfs does for a credential it is given."""
    sign_in = sign_in_of_client_id(kwargs.get(CLIENT_ID))
    return original(filesystem, **kwargs) if sign_in is None else (sign_in.async_credential(), None)


def key_vault_credential(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the shared credential of the identity that the settings of the secrets backend name."""
    from airflow_azure_wi.identity import STOCK_NAMES

    settings = {name: kwargs.get(name) for name in STOCK_NAMES}
    if not all(settings.values()):
        return original(*args, **kwargs)
    try:
        return _credential_of_backend(settings)
    except Exception as error:  # noqa: BLE001 - Airflow reads connections, Variables and options through the backend
        known = isinstance(error, WorkloadIdentityError)
        warn_once(
            f"{error if known else f'{type(error).__name__}: {excerpt(str(error))}'}\n"
            f"Until that is fixed, {_KEY_VAULT_BACKEND} signs in as it does without airflow-azure-wi."
        )
        return original(*args, **kwargs)


# What the replacements use.


@contextmanager
def context_value(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Give a context variable a value within a ``with`` block, in this thread or task only."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def ignored_endpoint(conn_id: str, caller: str, destination: str) -> EndpointError:
    """Return the error for a connection id with an endpoint that would not be called."""
    from airflow_azure_wi.endpoints import split

    plain_id = split(conn_id)[0]
    return EndpointError(
        f"The connection id {quoted(conn_id)} names an endpoint, which {caller} would ignore: it sends its requests to "
        f"{destination}. Use the plain id: {quoted(plain_id)}."
    )


def _credential_of_backend(settings: dict[str, Any]) -> "WorkloadIdentityCredential":
    from airflow_azure_wi.identity import WorkloadIdentity
    from airflow_azure_wi.tokens import read_federated_token

    identity = WorkloadIdentity.from_extra(settings, source=_KEY_VAULT_BACKEND, environment=None)
    deployment = _deployment()
    if deployment.development_credential_in_use() is None:
        read_federated_token(deployment.token_file, named_by=deployment.token_file_named_by)
    return SignIn(identity, _KEY_VAULT_BACKEND).credential()


def _deployment() -> "Deployment":
    from airflow_azure_wi.airflow_compat import deployment
    from airflow_azure_wi.clients import quiet_http_logging

    quiet_http_logging(os.environ)
    return deployment()


@cache
def _graph_file_system_class() -> Any:
    """Derive from the file system of msgraphfs one that needs no secret for drives by the names of site and library."""
    from msgraphfs import MSGDriveFS

    class GraphFileSystem(MSGDriveFS):  # type: ignore[misc]
        def _get_drive_fs(self, site_name: str, drive_name: str) -> Any:
            # The original gives only the client id and the secret on.
            is_this = drive_name == "legacy" or (self.site_name, self.drive_name) == (site_name, drive_name)
            arguments = {"site_name": site_name, "drive_name": drive_name}
            return self if is_this else MSGDriveFS(**arguments, oauth2_client_params=self._oauth2_client_params)

    return GraphFileSystem


@dataclass(frozen=True)
class _GraphToken:
    """Puts an access token into each request of an httpx client to Microsoft Graph.

    As text it is the identity: fsspec finds the file systems that it has made by the text of their arguments.
    """

    sign_in: SignIn

    async def __call__(self, request: Any) -> None:
        request.headers.pop("Authorization", None)
        # Contents are at other hosts, by URLs that are a permission themselves.
        if request.url.host == _GRAPH:
            token = await self.sign_in.async_credential().get_token(f"https://{_GRAPH}/.default")
            request.headers["Authorization"] = f"Bearer {token.token}"


def _open_credential(sign_in: SignIn) -> Any:
    from azure.core.credentials_async import AsyncTokenCredential

    class OpenCredential(AsyncTokenCredential):
        """The shared credential, which is never closed, since others use it too."""

        closed = False

        def __init__(self, credential: "AsyncWorkloadIdentityCredential") -> None:
            self._credential = credential

        async def get_token(self, *scopes: str, **kwargs: Any) -> Any:
            return await self._credential.get_token(*scopes, **kwargs)

        async def get_token_info(self, *scopes: str, **kwargs: Any) -> Any:
            return await self._credential.get_token_info(*scopes, **kwargs)

        async def close(self) -> None:
            """Do nothing."""

        async def __aexit__(self, *_: object) -> None:
            """Do nothing."""

    return OpenCredential(sign_in.async_credential())
