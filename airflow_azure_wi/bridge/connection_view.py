"""What a stock hook is shown of a connection of this package's type: the identity, an endpoint, and plain settings.

Whatever else is stored is left out, with a warning: to stock hooks, and to the clients that they pass their extras on
to, it could mean another identity, or say where an access token is sent.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.credentials import CLIENT_ID, MarkedId, SignIn
from airflow_azure_wi.bridge.imports import warn_once
from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.endpoints import Endpoint
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.identity import WorkloadIdentity, extra_of_connection, identity_from_connection, name_of
from airflow_azure_wi.redaction import quoted

# What names the identity, and what `az identity show` prints beside it, in lower case and without underscores. It is
# left out without a word: stock hooks are told the identity by their own names for it.
_OF_THE_IDENTITY = frozenset(
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

# How older forms stored the extras of a connection type.
_PREFIX = re.compile(r"extra__[a-z0-9_]*?__(?=.)")
_BARE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_MOST_NAMED = 10

_FITS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str) and value.isprintable(),
    "name": lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]*", value) is not None,
    "number": lambda value: type(value) in (int, float) or (isinstance(value, str) and value.isdecimal()),
    "switch": lambda value: isinstance(value, bool) or str(value).lower() in ("", "true", "false"),
}


def shown(connection: Any, reader: type[Any], endpoint: Endpoint | None) -> Any:
    """Return a copy of a connection that has the names that a stock hook looks for, and nothing that it must not have.

    :param connection: as it is stored, of this package's type.
    :param reader: the class of the hook.
    :param endpoint: the one that the call names, if it does. Then the connection's own is not shown.
    :raises IdentityError: if the connection does not describe a workload identity.
    """
    name = name_of(connection)
    identity = identity_from_connection(connection, environment=os.environ)
    sign_in = SignIn(identity, name)
    left_out: list[str] = []
    fields = _fields(connection, identity, left_out)
    stored = _extra(extra_of_connection(connection), left_out)
    _warn_of(left_out, name)
    reading = _reading_of(reader)
    if endpoint:
        fields = dict.fromkeys(fields)
    extra = {
        key: value
        for key, value in stored.items()
        if key in table.SETTINGS or (endpoint is None and f"extra.{key}" in reading.endpoint)
    }
    extra |= _ids(sign_in)
    _fill_in(fields, extra, reading, endpoint or _own_endpoint(connection.host))
    return airflow_compat.connection_like(connection, fields, extra, azure_workload_identity=sign_in)


def _fields(connection: Any, identity: WorkloadIdentity, left_out: list[str]) -> dict[str, Any]:
    """Return the fields that can say where, and add the names of the others to ``left_out``."""
    login = connection.login
    if (login or "").strip().lower() == identity.client_id:
        login = None
    fields = {"host": connection.host, "login": login}
    for name, value in fields.items():
        if value and not _is_endpoint(value):
            left_out.append(name)
            fields[name] = None
    # Microsoft Graph's hook takes it for the scheme of its URL; that of Service Bus, for a connection string.
    schema = connection.schema
    if schema and schema.lower() != "https":
        left_out.append("schema")
        schema = None
    if connection.password:
        left_out.append("password")
    return fields | {"schema": schema, "password": None}


def _extra(stored: dict[str, Any], left_out: list[str]) -> dict[str, Any]:
    """Return the stored extras that some hook may be shown, and add the names of the others to ``left_out``."""
    # Where both are there, stock hooks take the one without a prefix.
    extra = {_PREFIX.sub("", key, count=1): value for key, value in stored.items()} | stored
    kept = {key: value for key, value in extra.items() if _may_be_shown(key, value)}
    left_out += (key for key in extra if key not in kept and not _is_of_the_identity(key) and not _PREFIX.match(key))
    return kept


def _is_of_the_identity(key: str) -> bool:
    return key.replace("_", "").replace("-", "").lower() in _OF_THE_IDENTITY


def _may_be_shown(key: str, value: Any) -> bool:
    if key in table.SETTINGS:
        return value is None or _FITS[table.SETTINGS[key]](value)
    return key in table.endpoint_extras() and (not value or _is_endpoint(value))


def _ids(sign_in: SignIn) -> dict[str, Any]:
    """Return the identity, by all names that stock hooks have for it."""
    identity = sign_in.identity
    ids: dict[str, Any] = {
        CLIENT_ID: MarkedId.of(sign_in),
        # What this package calls it, for DAG code that reads the connection through BaseHook.
        "clientId": identity.client_id,
        "workload_identity_tenant_id": identity.tenant_id,
        "tenantId": identity.tenant_id,
    }
    if identity.subscription_id:
        ids |= {"subscriptionId": identity.subscription_id, "subscription_id": identity.subscription_id}
    if identity.cloud != PUBLIC:
        ids["cloud_environment"] = identity.cloud.name
    return ids


def _warn_of(left_out: list[str], name: str) -> None:
    if not left_out:
        return
    named = ", ".join(quoted(key) for key in left_out[:_MOST_NAMED])
    more = f" and {len(left_out) - _MOST_NAMED} more" if len(left_out) > _MOST_NAMED else ""
    warn_once(
        f"{name}: stock Azure hooks are not shown {named}{more}: an Azure Workload Identity connection gives them an "
        "identity, an endpoint and plain settings, nothing that could replace the identity or send an access token "
        "elsewhere. Remove it from the connection. docs/security.md lists what is shown."
    )


def _is_endpoint(value: Any) -> bool:
    """Whether a value is an https URL, or a bare name of a host or an account, which stock hooks complete."""
    if not isinstance(value, str):
        return False
    return _own_endpoint(value) is not None or _BARE_NAME.fullmatch(value.strip()) is not None


def _own_endpoint(host: str | None) -> Endpoint | None:
    try:
        return Endpoint.of(host) if host and "://" in host else None
    except EndpointError:
        # Stock hooks understand other forms too, such as the bare name of an account.
        return None


def _reading_of(reader: type[Any]) -> table.Reading:
    names = (
        ancestor.__name__
        for ancestor in reader.__mro__
        if table.is_stock(ancestor) or ancestor.__module__ in airflow_compat.BASE_HOOK_MODULES
    )
    return next((table.READINGS[name] for name in names if name in table.READINGS), table.Reading())


def _fill_in(fields: dict[str, Any], extra: dict[str, Any], reading: table.Reading, endpoint: Endpoint | None) -> None:
    for place, value in reading.also.items():
        values, key = _at_place(place, fields, extra)
        values[key] = value
    if endpoint is None:
        return
    for place, form in reading.endpoint.items():
        values, key = _at_place(place, fields, extra)
        if key == "host" or not values.get(key):
            values[key] = getattr(endpoint, form)


def _at_place(place: str, fields: dict[str, Any], extra: dict[str, Any]) -> tuple[dict[str, Any], str]:
    in_extra = place.removeprefix("extra.")
    return (fields, place) if in_extra == place else (extra, in_extra)
