"""What a stock hook is shown of a connection of this package's type."""

import os
from typing import Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.signing_in import CLIENT_ID, MarkedId, SignIn
from airflow_azure_wi.endpoints import Endpoint
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.identity import WorkloadIdentity, extra_of_connection, identity_from_connection

# Under these names some stock hooks expect a client secret to go with them. The stored ones mean the identity.
_NAMES_OF_A_SECRET_S_OWNER = ("tenant_id", "client_id")


def shown(connection: Any, reader: type[Any], endpoint: Endpoint | None) -> Any:
    """Return a copy of a connection that has, besides what is stored, the names that a stock hook looks for.

    :param connection: as it is stored, of this package's type.
    :param reader: the class of the hook.
    :param endpoint: the one that the call names, if it does.
    :raises IdentityError: if the connection does not describe a workload identity.
    """
    name = f"connection {connection.conn_id!r}"
    identity = identity_from_connection(connection, environment=os.environ)
    sign_in = SignIn(identity, name)
    fields = {
        # Neither is an identity's: with a secret, stock hooks would sign in as somebody else.
        "login": None if _is_client_id(connection.login, identity) else connection.login,
        "password": None,
        "host": connection.host,
        "schema": connection.schema,
    }
    extra = _extra(extra_of_connection(connection), sign_in)
    _fill_in(fields, extra, _reading_of(reader), endpoint or _own_endpoint(connection.host), overrule=bool(endpoint))
    return airflow_compat.connection_like(connection, fields, extra, azure_workload_identity=sign_in)


def _is_client_id(login: str | None, identity: WorkloadIdentity) -> bool:
    return (login or "").strip().lower() == identity.client_id


def _extra(extra: dict[str, Any], sign_in: SignIn) -> dict[str, Any]:
    """Return the stored extra with the names that stock hooks use."""
    identity = sign_in.identity
    for key in _NAMES_OF_A_SECRET_S_OWNER:
        extra.pop(key, None)
    extra |= {
        CLIENT_ID: MarkedId.of(sign_in),
        "workload_identity_tenant_id": identity.tenant_id,
        "tenantId": identity.tenant_id,
    }
    if identity.subscription_id:
        extra |= {"subscriptionId": identity.subscription_id, "subscription_id": identity.subscription_id}
    return extra


def _own_endpoint(host: str | None) -> Endpoint | None:
    try:
        return Endpoint.of(host.strip()) if host else None
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


def _fill_in(
    fields: dict[str, Any],
    extra: dict[str, Any],
    reading: table.Reading,
    endpoint: Endpoint | None,
    *,
    overrule: bool,
) -> None:
    for place, value in reading.also.items():
        values, key = _at_place(place, fields, extra)
        values[key] = value
    if endpoint is None:
        return
    for place, form in reading.endpoint.items():
        values, key = _at_place(place, fields, extra)
        if overrule or key == "host" or not values.get(key):
            values[key] = getattr(endpoint, form)


def _at_place(place: str, fields: dict[str, Any], extra: dict[str, Any]) -> tuple[dict[str, Any], str]:
    in_extra = place.removeprefix("extra.")
    return (fields, place) if in_extra == place else (extra, in_extra)
