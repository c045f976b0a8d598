"""Airflow connections, made from the JSON that the Azure CLI prints, in each form that Airflow reads."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.identity import STOCK_NAMES, WorkloadIdentity
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE
from airflow_azure_wi.redaction import holds_secret, quoted

# Airflow's own rule for connection ids; what an environment variable and a Secret of Kubernetes may be called.
_CONNECTION_ID = re.compile(r"[\w#!()\-.:/\\]{1,200}", re.ASCII)
_NEVER_WRAPPED = 10_000
_VARIABLE = re.compile(r"[A-Za-z0-9_]+")

# Where a line begins with JSON that tools print: an object, or an array of objects. "[WARNING] ..." is neither.
_START_OF_JSON = re.compile(r"^[ \t]*(?=\{\s*[\"}]|\[\s*[{\]])", re.MULTILINE)


def decode(data: bytes) -> str:
    """Return a text that may have a byte order mark, be UTF-16 (as PowerShell's ``>`` writes it) or have ``\\r\\n``.

    :raises ValueError: if it is not text.
    """
    text = data.decode(json.detect_encoding(data))
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def parse_json(text: str) -> Any:
    """Return what the one JSON text in a text says, whatever lines tools have printed before and after it.

    :raises ValueError: if there is none, or more than one; the message says which.
    """
    if not text.strip():
        raise ValueError("it is empty")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is not JSON (nested too deeply)") from None
    except ValueError as error:
        problem = f"it is not JSON ({error})"
    start = _START_OF_JSON.search(text)
    if start is None:
        raise ValueError(problem)
    try:
        value, end = json.JSONDecoder().raw_decode(text, start.end())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if _START_OF_JSON.search(text, end):
        raise ValueError("it holds more than one JSON text")
    return value


def identity_from_az(text: str, *, source: str) -> WorkloadIdentity:
    """Return the identity that ``az identity create`` or ``show`` printed, or a list with no other in it.

    What the REST API, PowerShell, Terraform and Bicep print about an identity will do, too.

    :param source: where the text comes from, for messages.
    :raises IdentityError: if it describes none, or more than one.
    """
    expected = "expected what `az identity create` or `az identity show` prints with --output json"
    try:
        printed = parse_json(text)
    except ValueError as error:
        raise IdentityError(source, [f"{error}, {expected}"]) from None
    if isinstance(printed, dict) and isinstance(printed.get("value"), list):
        printed = printed["value"]
    if isinstance(printed, list):
        if len(printed) != 1:
            raise IdentityError(source, [f"it holds {len(printed)} identities, {expected}, which is about one"])
        printed = printed[0]
    if not isinstance(printed, dict):
        raise IdentityError(source, [f"it holds no JSON object, {expected}"])
    return WorkloadIdentity.from_extra(printed, source=source, environment=None)


def problem_of_id(connection_id: str, output_format: str) -> str | None:
    """Say why a connection id cannot be used in a format, or nothing."""
    if not _CONNECTION_ID.fullmatch(connection_id) or holds_secret(connection_id):
        return (
            f"The connection id is {quoted(connection_id)}, expected up to 200 letters, digits and "
            "_ - . : # ! ( ) / \\ such as azure_wi"
        )
    if output_format in ("env", "kubernetes") and not _VARIABLE.fullmatch(connection_id):
        return (
            f"The connection id is {quoted(connection_id)}, expected only letters, digits and _ for the format "
            f"{output_format}: it becomes the name of an environment variable"
        )
    return None


@dataclass(frozen=True)
class NewConnection:
    """A connection to be made.

    :param connection_id: its id.
    :param extra: the ids that it consists of.
    """

    connection_id: str
    extra: dict[str, str]
    connection_type: str = CONNECTION_TYPE

    @classmethod
    def of(cls, identity: WorkloadIdentity, connection_id: str, *, is_stock: bool = False) -> "NewConnection":
        """Return the connection for an identity.

        :param is_stock: whether it is to be of the stock type `azure`, as Astro's Environment Manager makes it.
        """
        names = STOCK_NAMES if is_stock else ("clientId", "tenantId")
        extra = dict(zip(names, (identity.client_id, identity.tenant_id), strict=True))
        if identity.subscription_id:
            extra["subscriptionId"] = identity.subscription_id
        if identity.cloud != PUBLIC:
            extra["cloud_environment"] = identity.cloud.name
        return cls(connection_id, extra, STOCK_CONNECTION_TYPE if is_stock else CONNECTION_TYPE)

    @property
    def variable(self) -> str:
        """The environment variable that Airflow reads it from."""
        return f"AIRFLOW_CONN_{self.connection_id.upper()}"

    def as_dict(self) -> dict[str, Any]:
        """Return what Airflow reads from JSON."""
        return {"conn_type": self.connection_type, "extra": self.extra}


def as_env(connection: NewConnection) -> str:
    """Return an assignment for a shell or an .env file."""
    return f"{connection.variable}={shlex.quote(json.dumps(connection.as_dict()))}\n"


def as_json(connection: NewConnection) -> str:
    """Return the connection's JSON, as secrets backends hold it."""
    return json.dumps(connection.as_dict(), indent=2) + "\n"


def as_uri(connection: NewConnection) -> str:
    """Return the connection's URI, as ``airflow connections get`` shows it."""
    return f"{connection.connection_type.replace('_', '-')}:///?{urlencode(connection.extra)}\n"


def as_cli(connection: NewConnection) -> str:
    """Return the command that adds it to Airflow's database."""
    connection_id = connection.connection_id
    # After "--", an id that begins with a dash is not taken for an option.
    where = ["--", connection_id] if connection_id.startswith("-") else [connection_id]
    options = ["--conn-type", connection.connection_type, "--conn-extra", json.dumps(connection.extra)]
    return shlex.join(["airflow", "connections", "add", *options, *where]) + "\n"


def as_airflow_settings(connection: NewConnection) -> str:
    """Return an ``airflow_settings.yaml``, which the Astro CLI loads into a local Airflow."""
    settings = {
        "conn_id": connection.connection_id,
        "conn_type": connection.connection_type,
        "conn_extra": connection.extra,
    }
    return _yaml({"airflow": {"connections": [settings]}})


def as_kubernetes(connection: NewConnection) -> str:
    """Return a Secret for the official Helm chart's ``extraEnvFrom``."""
    name = "airflow-connection-" + connection.connection_id.lower().replace("_", "-").strip("-")
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
            "stringData": {connection.variable: json.dumps(connection.as_dict())},
        }
    )


FORMATS: dict[str, Callable[[NewConnection], str]] = {
    "env": as_env,
    "json": as_json,
    "uri": as_uri,
    "cli": as_cli,
    "airflow-settings": as_airflow_settings,
    "kubernetes": as_kubernetes,
}


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, width=_NEVER_WRAPPED))
