"""Step 2 of the page: what was pasted as a connection, for Airflow's REST API and in every other form."""

import json
import os
from dataclasses import replace
from typing import Any

from airflow_azure_wi.clouds import PUBLIC, cloud_named
from airflow_azure_wi.connection_formats import FORMATS, NewConnection, identity_from_az, problem_of_id
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import FIELDS


def connection_from(pasted: str, connection_id: str, cloud: str = "") -> dict[str, Any]:
    """Return the connection that was pasted, or what is wrong with it, by field.

    :param cloud: the name of its cloud; empty for the one that is pasted, or the public one.
    """
    problems: dict[str, list[str]] = {}
    identity = None
    try:
        identity = identity_from_az(pasted, source="what is pasted")
    except IdentityError as error:
        problems["pasted"] = list(error.problems)
    if problem := problem_of_id(connection_id, "cli"):
        problems["connection_id"] = [f"{problem}."]
    if identity is None or problems:
        return {"problems": problems}
    if chosen := cloud_named(cloud):
        identity = replace(identity, cloud=chosen)
    connection = NewConnection.of(identity, connection_id)
    return {
        "problems": {},
        "fields": _fields(identity),
        "warnings": list(_warnings(connection)),
        # As POST /api/v2/connections takes it.
        "body": {
            "connection_id": connection_id,
            "conn_type": connection.connection_type,
            "extra": json.dumps(connection.extra),
        },
        "outputs": {name: _formatted(name, connection) for name in FORMATS},
    }


def _fields(identity: WorkloadIdentity) -> list[dict[str, str]]:
    values = {
        "clientId": identity.client_id,
        "tenantId": identity.tenant_id,
        "subscriptionId": identity.subscription_id or "none: only services that are managed by subscription need it",
    }
    fields = [{"label": FIELDS[name].label, "value": value} for name, value in values.items()]
    return fields if identity.cloud == PUBLIC else [*fields, {"label": "Cloud", "value": identity.cloud.name}]


def _warnings(connection: NewConnection) -> list[str]:
    if connection.variable not in os.environ:
        return []
    return [
        f"The environment variable {connection.variable} is set here, and Airflow reads it before its database: remove "
        "it, or choose another id."
    ]


def _formatted(name: str, connection: NewConnection) -> str:
    """Return a connection in a format, or why it has none there: an id may not fit an environment variable."""
    problem = problem_of_id(connection.connection_id, name)
    return f"# {problem}.\n" if problem else FORMATS[name](connection)
