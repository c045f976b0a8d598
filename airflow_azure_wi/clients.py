"""What an Azure SDK client class takes from a connection, and what it says in the task's log."""

import inspect
import logging
import re
from collections.abc import Mapping
from typing import Any

from airflow_azure_wi import __version__
from airflow_azure_wi.clouds import PUBLIC, Cloud
from airflow_azure_wi.endpoints import Endpoint
from airflow_azure_wi.errors import ClientError
from airflow_azure_wi.redaction import quoted

_AZURE = "azure."
_MANAGEMENT = "azure.mgmt."

# Writes the headers of each request and of each response at INFO, about twenty lines for both.
HTTP_LOGGER = "azure.core.pipeline.policies.http_logging_policy"
# The stock provider's own variable, with its default:
# https://github.com/apache/airflow/blob/main/providers/microsoft/azure/src/airflow/providers/microsoft/azure/hooks/wasb.py
HTTP_LOGGING_LEVEL = "AZURE_HTTP_LOGGING_LEVEL"

# The Azure SDKs of other languages stop naming the application in requests where this is true. azure-core, which has no
# such switch, leaves it to us: https://learn.microsoft.com/dotnet/api/azure.core.diagnosticsoptions.istelemetryenabled
TELEMETRY_DISABLED = "AZURE_TELEMETRY_DISABLED"
_LONGEST_OPERATOR = 64
# Characters that RFC 9110 does not allow in a product's name, or that have a meaning in a user agent.
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")

# What clients of the Azure SDK call the service that they talk to, to the form that they want it in: a property of
# Endpoint.
_ENDPOINTS = {
    "account_url": "url",
    "vault_url": "url",
    "endpoint": "url",
    "fully_qualified_namespace": "hostname",
    "base_url": "url",
    "url": "url",
}


def arguments_for(
    client_class: type[Any],
    given: Mapping[str, Any],
    *,
    credential: Any,
    subscription_id: str | None,
    cloud: Cloud,
    is_async: bool,
    source: str,
    endpoint: Endpoint | None = None,
    sender: str | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments to build a client with: what the call gave, and what the connection adds.

    :param client_class: a class of the Azure SDK, or one that takes a ``credential`` as its classes do.
    :param given: the arguments of the call; they win.
    :param credential: what to sign in with.
    :param subscription_id: the connection's, or None.
    :param cloud: the connection's.
    :param is_async: whether ``credential`` is for asynchronous clients.
    :param source: the connection's name in messages.
    :param endpoint: the one that the connection id names, or None.
    :param sender: what the client's requests name as their sender (:func:`user_agent`), or None.
    :raises ClientError: if the class does not fit the credential, wants a subscription and there is none, or cannot
        be used at the endpoint.
    """
    _check_kind(client_class, is_async)
    parameters = inspect.signature(client_class).parameters
    _check_takes_credential(client_class, parameters)
    arguments = {"credential": credential, **_where_it_is_managed(client_class, parameters, given, cloud), **given}
    arguments |= _named_sender(client_class, parameters, given, sender)
    if endpoint is not None:
        arguments |= _at_endpoint(client_class, parameters, given, endpoint, source)
    subscription = parameters.get("subscription_id")
    if subscription is not None and given.get("subscription_id") is None:
        arguments.pop("subscription_id", None)
        if subscription_id is not None:
            arguments["subscription_id"] = subscription_id
        elif subscription.default is inspect.Parameter.empty:
            raise ClientError(
                f"{client_class.__name__} wants a subscription, and {source} has none. Enter subscriptionId in the "
                f"connection (`az account show --query id`), or pass subscription_id= with the call."
            )
    return arguments


def user_agent(environment: Mapping[str, str], operator: str | None = None) -> str | None:
    """Return what requests to Azure name as their sender, or None if the environment does not want one named.

    :param operator: the class of the operator that sends them, if one does.
    """
    if environment.get(TELEMETRY_DISABLED, "").strip().lower() in {"1", "true"}:
        return None
    ours = f"airflow-azure-wi/{__version__}"
    caller = _NOT_IN_A_NAME.sub("", operator or "")[:_LONGEST_OPERATOR]
    return f"{ours} Caller/{caller}" if caller else ours


def quiet_http_logging(environment: Mapping[str, str]) -> None:
    """Let Azure SDK clients log no requests in this process, as the stock provider's WasbHook does.

    A level that someone has set on the logger itself stays.

    :param environment: AZURE_HTTP_LOGGING_LEVEL in it overrides both.
    """
    logger = logging.getLogger(HTTP_LOGGER)
    wanted = environment.get(HTTP_LOGGING_LEVEL, "").strip().upper()
    if not wanted:
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
        return
    try:
        logger.setLevel(int(wanted) if wanted.isdecimal() else wanted)
    except ValueError:
        logger.setLevel(logging.WARNING)


def _where_it_is_managed(
    client_class: type[Any], parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any], cloud: Cloud
) -> dict[str, Any]:
    """Return the arguments that send a management client to its cloud; its own default is the public one."""
    is_management = any(ancestor.__module__.startswith(_MANAGEMENT) for ancestor in client_class.__mro__)
    if cloud == PUBLIC or not is_management or given.get("cloud_setting") is not None:
        return {}
    scopes = {"credential_scopes": [cloud.resource_manager_scope]}
    return scopes | ({"base_url": cloud.resource_manager} if "base_url" in parameters else {})


def _named_sender(
    client_class: type[Any], parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any], sender: str | None
) -> dict[str, Any]:
    """Return the argument that names the sender, after the caller's own: azure-core puts it before the SDK's."""
    is_azure = any(ancestor.__module__.startswith(_AZURE) for ancestor in client_class.__mro__)
    is_taken = "user_agent" in parameters or _takes_any(parameters)
    if sender is None or not is_azure or not is_taken or given.get("user_agent_overwrite"):
        return {}
    own = given.get("user_agent")
    return {"user_agent": f"{own} {sender}" if own else sender}


def _at_endpoint(
    client_class: type[Any],
    parameters: Mapping[str, inspect.Parameter],
    given: Mapping[str, Any],
    endpoint: Endpoint,
    source: str,
) -> dict[str, Any]:
    """Return the argument that sends a client to the endpoint, whatever its class calls it."""
    name = next((name for name in _ENDPOINTS if name in parameters), None)
    if name is None or client_class.__module__.startswith(_MANAGEMENT):
        raise ClientError(
            f"{source} names an endpoint, and {client_class.__name__} has no argument for one that is known: "
            f"{', '.join(_ENDPOINTS)}. Use the id of the connection without the endpoint, and pass the endpoint as the "
            "client wants it."
        )
    value = getattr(endpoint, _ENDPOINTS[name])
    if name in given and str(given[name]).rstrip("/") != value:
        raise ClientError(
            f"{source} names an endpoint, and {name}={quoted(given[name])} another one. Leave one of them out."
        )
    return {name: value}


def _check_kind(client_class: type[Any], is_async: bool) -> None:
    module = client_class.__module__
    if not module.startswith(_AZURE):
        return
    if (".aio" in module) != is_async:
        kinds = ("an asynchronous", "get_async_client") if ".aio" in module else ("a synchronous", "get_client")
        raise ClientError(f"{module}.{client_class.__name__} is {kinds[0]} client: build it with {kinds[1]}().")


def _check_takes_credential(client_class: type[Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    if "credential" not in parameters and not _takes_any(parameters):
        raise ClientError(
            f"{client_class.__name__} takes no credential=. Build it yourself, and give it hook.get_credential() or "
            "hook.get_token(scope).token where it takes one of those."
        )


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
