"""An identity as an Airflow connection, in each form that Airflow and its platforms read."""

import json
import re
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import CONNECTION_TYPE

# Airflow's own rule for connection ids; what an environment variable and a Secret of Kubernetes may be called.
_CONNECTION_ID = re.compile(r"[\w#!()\-.:/\\]{1,200}", re.ASCII)
_NEVER_WRAPPED = 10_000
_VARIABLE = re.compile(r"[A-Za-z0-9_]+")


def identity_from_az(text: str, *, source: str) -> WorkloadIdentity:
    """Return the identity that ``az identity create`` or ``show`` printed, or a list with no other in it.

    :param source: where the text comes from, as messages shall name it.
    :raises IdentityError: if it describes none, or more than one.
    """
    expected = "expected what `az identity create` or `az identity show` prints"
    try:
        printed = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = f"it is not JSON ({error})" if text.strip() else "it is empty"
        raise IdentityError(source, [f"{what}, {expected}"]) from None
    if isinstance(printed, list):
        if len(printed) != 1:
            raise IdentityError(source, [f"it holds {len(printed)} identities, {expected}, which is about one"])
        printed = printed[0]
    if not isinstance(printed, dict):
        raise IdentityError(source, [f"it holds no JSON object, {expected}"])
    return WorkloadIdentity.from_extra(printed, source=source, environment=None)


def problem_of_id(connection_id: str, output_format: str) -> str | None:
    """Say why a connection id cannot be used in a format, or nothing."""
    if not _CONNECTION_ID.fullmatch(connection_id):
        return (
            f"The connection id is {connection_id!r}, expected up to 200 letters, digits and _ - . : # ! ( ) / \\ "
            "such as azure_wi"
        )
    if output_format in ("env", "kubernetes") and not _VARIABLE.fullmatch(connection_id):
        return (
            f"The connection id is {connection_id!r}, expected only letters, digits and _ for --format "
            f"{output_format}: it becomes the name of an environment variable"
        )
    return None


def extra_of(identity: WorkloadIdentity) -> dict[str, Any]:
    """Return the extra of a connection for an identity."""
    extra: dict[str, Any] = _ids(identity)
    if identity.subscription_id:
        extra["subscriptionId"] = identity.subscription_id
    if identity.cloud != PUBLIC:
        extra["cloud_environment"] = identity.cloud.name
    return extra


def as_env(identity: WorkloadIdentity, connection_id: str) -> str:
    """Return an assignment for a shell or an .env file."""
    return f"{_variable(connection_id)}={shlex.quote(_compact(identity))}\n"


def as_json(identity: WorkloadIdentity, connection_id: str) -> str:
    """Return the connection's JSON, as secrets backends hold it."""
    return json.dumps(_connection(identity), indent=2) + "\n"


def as_uri(identity: WorkloadIdentity, connection_id: str) -> str:
    """Return the connection's URI, as ``airflow connections get`` shows it."""
    return f"{CONNECTION_TYPE.replace('_', '-')}:///?{urlencode(extra_of(identity))}\n"


def as_cli(identity: WorkloadIdentity, connection_id: str) -> str:
    """Return the command that adds it to Airflow's database."""
    # After "--", an id that begins with a dash is not taken for an option.
    where = ["--", connection_id] if connection_id.startswith("-") else [connection_id]
    options = ["--conn-type", CONNECTION_TYPE, "--conn-extra", json.dumps(extra_of(identity))]
    return shlex.join(["airflow", "connections", "add", *options, *where]) + "\n"


def as_airflow_settings(identity: WorkloadIdentity, connection_id: str) -> str:
    """Return an ``airflow_settings.yaml``, which the Astro CLI loads into a local Airflow."""
    connection = {"conn_id": connection_id, "conn_type": CONNECTION_TYPE, "conn_extra": extra_of(identity)}
    return _yaml({"airflow": {"connections": [connection]}})


def as_kubernetes(identity: WorkloadIdentity, connection_id: str) -> str:
    """Return a Secret for the official Helm chart's ``extraEnvFrom``."""
    name = "airflow-connection-" + connection_id.lower().replace("_", "-").strip("-")
    usage = (
        "# Apply it in Airflow's namespace, and name it in the values of the Helm chart:\n"
        "# extraEnvFrom: |\n"
        "#   - secretRef:\n"
        f"#       name: {name}\n"
    )
    return usage + _yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "Opaque",
            "stringData": {_variable(connection_id): _compact(identity)},
        }
    )


FORMATS: dict[str, Callable[[WorkloadIdentity, str], str]] = {
    "env": as_env,
    "json": as_json,
    "uri": as_uri,
    "cli": as_cli,
    "airflow-settings": as_airflow_settings,
    "kubernetes": as_kubernetes,
}


def _connection(identity: WorkloadIdentity) -> dict[str, Any]:
    return {"conn_type": CONNECTION_TYPE, "extra": extra_of(identity)}


def _ids(identity: WorkloadIdentity) -> dict[str, str]:
    return {"clientId": identity.client_id, "tenantId": identity.tenant_id}


def _compact(identity: WorkloadIdentity) -> str:
    return json.dumps(_connection(identity))


def _variable(connection_id: str) -> str:
    return f"AIRFLOW_CONN_{connection_id.upper()}"


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, width=_NEVER_WRAPPED))
