"""Who: the managed identity or application that a connection names."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.clouds import CHINA, CLOUDS, PUBLIC, US_GOVERNMENT, Cloud, cloud_named, names_of_clouds
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.provider import CONNECTION_TYPE, STOCK_CONNECTION_TYPE
from airflow_azure_wi.redaction import excerpt, quoted

_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_SUBSCRIPTION_OF_RESOURCE = re.compile(r"/subscriptions/([^/]*)(?:/|$)", re.IGNORECASE)

# What stock hooks call client id and tenant of a managed identity.
STOCK_NAMES = ("managed_identity_client_id", "workload_identity_tenant_id")

# An extra within an extra, and JSON text within JSON: more than this is not looked for.
_DEEPEST = 4

# What holds an identity in the output of the REST API, `az resource show` and `az deployment group show`.
_PROPERTIES, _OUTPUTS = "properties", "outputs"


def identity_from_connection(
    connection: Any, *, environment: Mapping[str, str], source: str | None = None
) -> "WorkloadIdentity":
    """Return whom a connection of Airflow signs in as.

    :param connection: anything with ``conn_id``, ``conn_type``, ``extra`` and ``login``.
    :param environment: AZURE_CLIENT_ID and AZURE_TENANT_ID are taken from here where the connection has none.
    :param source: the name used in messages; ``connection`` and its id unless given.
    :raises IdentityError: names everything that is missing, malformed or contradictory, all at once.
    """
    source = source or name_of(connection)
    if is_misread_uri(connection):
        raise IdentityError(source, [_UNDERSCORES])
    return WorkloadIdentity.from_extra(
        connection.extra,
        conn_type=connection.conn_type,
        source=source,
        environment=environment,
        login=connection.login,
    )


def name_of(connection: Any) -> str:
    """Return the name of a connection that is used in messages."""
    return f"connection {quoted(connection.conn_id)}"


def extra_of_connection(connection: Any) -> dict[str, Any]:
    """Return the extra of a connection as it was meant: unwrapped, and without the prefix that old forms gave names.

    Empty if it cannot be read; :func:`identity_from_connection` says why.
    """
    return _extra_of(connection.extra, connection.conn_type)[0]


def is_stock_workload_identity(connection: Any) -> bool:
    """Return whether a connection of the stock type `azure` names a workload identity, and no other way to sign in.

    Astro's Environment Manager makes such connections, with the two names by which the stock hooks know a managed
    identity: https://www.astronomer.io/docs/learn/connections/entra-workload-identity. With a password or a key file,
    stock hooks sign in as an application instead.
    """
    if connection.conn_type != STOCK_CONNECTION_TYPE or getattr(connection, "password", None):
        return False
    extra = extra_of_connection(connection)
    is_named = all(not _is_absent(extra.get(name)) for name in STOCK_NAMES)
    return is_named and not any(extra.get(name) for name in ("key_path", "key_json"))


def is_misread_uri(connection: Any) -> bool:
    """Return whether a connection comes from a URI that Airflow cannot read, as its scheme has underscores.

    RFC 3986 allows none in a scheme, so that for urllib the whole is a path. All versions of Airflow then make a
    connection of no type, whose schema is that path without its first letter (``Connection._parse_from_uri`` in
    ``airflow/models/connection.py``, ``from_uri`` in ``airflow/sdk/definitions/connection.py``). They turn the hyphens
    of a scheme into underscores, and its capitals into small letters.
    """
    schema = str(getattr(connection, "schema", None) or "").lower().replace("-", "_")
    return not connection.conn_type and schema.startswith(f"{CONNECTION_TYPE[1:]}//")


_UNDERSCORES = (
    f"its URI begins with {CONNECTION_TYPE}://, and Airflow reads no connection type from a scheme with underscores. "
    f"Write {CONNECTION_TYPE.replace('_', '-')}:// (`airflow-azure-wi connection --format uri` prints such a URI)"
)


@dataclass(frozen=True)
class WorkloadIdentity:
    """A managed identity (or application) to sign in as: plain ids, nothing secret.

    :param client_id: the client id, a GUID in lower case.
    :param tenant_id: the tenant, a GUID or a domain name, in lower case.
    :param subscription_id: the subscription for clients that want one, a GUID in lower case.
    :param cloud: the Azure cloud of the tenant.
    """

    client_id: str
    tenant_id: str
    subscription_id: str | None = None
    cloud: Cloud = PUBLIC

    @classmethod
    def from_extra(
        cls,
        extra: Mapping[str, Any] | str | None,
        *,
        source: str,
        environment: Mapping[str, str] | None,
        login: str | None = None,
        conn_type: str | None = None,
    ) -> "WorkloadIdentity":
        """Parse the extra of an Airflow connection, or what tools print about a managed identity.

        :param extra: the extra, as a mapping or as JSON; null, empty and blank values mean absent.
        :param source: the name used in messages, such as ``connection 'azure_wi'``.
        :param environment: AZURE_CLIENT_ID and AZURE_TENANT_ID are taken from here where the extra has none; None
            where no environment is read, and messages mention none.
        :param login: the connection's login, where stock connections keep a client id.
        :param conn_type: the connection's type, by which old forms prefixed the names in its extra.
        :raises IdentityError: names everything that is missing, malformed or contradictory, all at once.
        """
        fields, problems = _extra_of(extra, conn_type)
        reader = _Reader(list(_values_in(fields)), problems, environment)
        client_id = reader.read(_CLIENT_ID, [("login", login)])
        tenant_id = reader.read(_TENANT_ID)
        subscription_id = reader.read(_SUBSCRIPTION_ID)
        cloud = reader.read(_CLOUD) or _cloud_of_location(fields)
        if problems or client_id is None or tenant_id is None:
            raise IdentityError(source, problems)
        return cls(client_id, tenant_id, subscription_id, CLOUDS[cloud] if cloud else PUBLIC)


@dataclass(frozen=True)
class _Field:
    """One thing to find in an extra.

    :param names: what it goes by, in lower case and without underscores and hyphens.
    :param variable: the environment variable that is asked where the extra has none.
    """

    names: tuple[str, ...]
    normalize: Callable[[str], str | None]
    expected: str
    missing: str | None = None
    variable: str | None = None
    from_resource_id: bool = False


def is_guid(text: str) -> bool:
    """Return whether a text is a GUID, in whatever case."""
    return _GUID.fullmatch(text.lower()) is not None


def _guid(text: str) -> str | None:
    return text.lower() if _GUID.fullmatch(text.lower()) else None


def _guid_or_domain(text: str) -> str | None:
    return _guid(text) or (text.lower() if _DOMAIN.fullmatch(text.lower()) else None)


def _cloud(text: str) -> str | None:
    cloud = cloud_named(text)
    return cloud.name if cloud else None


_CLIENT_ID = _Field(
    names=("clientid", "managedidentityclientid"),
    normalize=_guid,
    expected="a GUID such as 6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10 (`clientId` in the output of `az identity show`)",
    missing="clientId is missing: enter the client id of the managed identity (`clientId` in the output of "
    "`az identity show`)",
    variable="AZURE_CLIENT_ID",
)
_TENANT_ID = _Field(
    names=("tenantid", "workloadidentitytenantid"),
    normalize=_guid_or_domain,
    expected="a GUID such as 72f988bf-86f1-41af-91ab-2d7cd011db47 or a domain name such as "
    "contoso.onmicrosoft.com (`tenantId` in the output of `az identity show`)",
    missing="tenantId is missing: enter the tenant of the managed identity (`tenantId` in the output of "
    "`az identity show`)",
    variable="AZURE_TENANT_ID",
)
_SUBSCRIPTION_ID = _Field(
    names=("subscriptionid",),
    normalize=_guid,
    expected="a GUID such as 0b1f6471-1bf0-4dda-aec3-cb9272f09590 (`az account show --query id`)",
    from_resource_id=True,
)
_CLOUD = _Field(
    names=("cloudenvironment",),
    normalize=_cloud,
    expected="one of " + names_of_clouds(),
)


class _Reader:
    """Reads fields one after the other and collects what is wrong with all of them."""

    def __init__(
        self, values: Sequence[tuple[str, str, Any]], problems: list[str], environment: Mapping[str, str] | None
    ) -> None:
        self._values = values
        self._problems = problems
        self._environment = environment
        # Nothing can be said to be missing from an extra that could not be read.
        self._is_readable = not problems

    def read(self, field: _Field, fallbacks: Sequence[tuple[str, Any]] = ()) -> str | None:
        """Return the field's value, normalized, or None where it is absent or wrong."""
        found = [(name, value) for name, value in self._candidates(field) if not _is_absent(value)]
        if not found:
            last = [*fallbacks, *self._variable(field)]
            found = [(name, value) for name, value in last if not _is_absent(value)][:1]
        if not found:
            if field.missing and self._is_readable:
                self._problems.append(field.missing + self._or_a_variable(field))
            return None
        values = {name: self._normalized(name, value, field) for name, value in found}
        distinct = set(values.values()) - {None}
        if len(distinct) > 1:
            named = " but ".join(f"{name} is {value}" for name, value in values.items() if value is not None)
            self._problems.append(f"{named}: they mean the same field and must not differ; remove the wrong one")
            return None
        return distinct.pop() if distinct else None

    def _candidates(self, field: _Field) -> Iterator[tuple[str, Any]]:
        for path, name, value in self._values:
            if _plain(name) in field.names:
                yield f"{path}{name}", value
            elif field.from_resource_id and _plain(name) == "id" and isinstance(value, str):
                in_resource_id = _SUBSCRIPTION_OF_RESOURCE.match(value.strip())
                yield f"the subscription in {path}{name}", in_resource_id.group(1) if in_resource_id else None

    def _variable(self, field: _Field) -> Iterator[tuple[str, str | None]]:
        if field.variable and self._environment is not None:
            yield f"the environment variable {field.variable}", self._environment.get(field.variable)

    def _or_a_variable(self, field: _Field) -> str:
        return "" if self._environment is None else f", or set {field.variable} where the task runs"

    def _normalized(self, name: str, value: Any, field: _Field) -> str | None:
        normalized = field.normalize(value.strip()) if isinstance(value, str) else None
        if normalized is None:
            self._problems.append(f"{name} is {quoted(value)}, expected {field.expected}")
        return normalized


def _extra_of(extra: Any, conn_type: str | None) -> tuple[dict[str, Any], list[str]]:
    """Return the extra as it was meant, and what is wrong with it."""
    if _is_absent(extra):
        return {}, []
    try:
        parsed = _decoded(extra)
    except (ValueError, RecursionError) as error:
        return {}, [f"extra is not JSON ({error}); expected an object with clientId and tenantId"]
    if not isinstance(parsed, Mapping):
        return {}, [f"extra is {quoted(parsed)}, expected a JSON object with clientId and tenantId"]
    return _unwrapped(parsed, conn_type), []


def _decoded(value: Any) -> Any:
    """Return what a JSON text says, also where it was encoded more than once."""
    for _ in range(_DEEPEST):
        if not isinstance(value, str):
            break
        value = json.loads(value)
    return value


def _unwrapped(extra: Mapping[str, Any], conn_type: str | None, depth: int = 0) -> dict[str, Any]:
    """Return an extra with what is in it under ``extra`` or ``__extra__``, and with short names for prefixed ones.

    A short name wins over a prefixed one, as in ``get_field`` of the stock provider
    (``airflow/providers/microsoft/azure/utils.py``), and both over what is wrapped.
    """
    prefixes = {f"extra__{each}__" for each in (conn_type, CONNECTION_TYPE) if each}
    plain = dict(extra)
    for name in extra:
        for prefix in prefixes:
            if name.startswith(prefix):
                _set_if_absent(plain, name.removeprefix(prefix), plain.pop(name))
    for name in ("extra", "__extra__"):
        inner = _mapping_in(plain.get(name))
        if inner is not None and depth < _DEEPEST:
            del plain[name]
            for key, value in _unwrapped(inner, conn_type, depth + 1).items():
                _set_if_absent(plain, key, value)
    return plain


def _mapping_in(value: Any) -> Mapping[str, Any] | None:
    try:
        decoded = _decoded(value)
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, Mapping) else None


def _set_if_absent(values: dict[str, Any], name: str, value: Any) -> None:
    if _is_absent(values.get(name)):
        values[name] = value


def _values_in(fields: Mapping[str, Any], path: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Return path, name and value of what is there, also where the REST API, Bicep and Terraform keep it deeper."""
    properties = fields.get(_PROPERTIES)
    if isinstance(properties, Mapping) and isinstance(outputs := properties.get(_OUTPUTS), Mapping):
        # A deployment: nothing else in it is about the identity.
        yield from _values_in(outputs, f"{_PROPERTIES}.{_OUTPUTS}.", depth + 1)
        return
    for name, value in fields.items():
        is_output = isinstance(value, Mapping) and "value" in value
        inner = value["value"] if is_output else value
        if not isinstance(inner, Mapping):
            yield path, name, inner
        elif (is_output or name == _PROPERTIES) and depth < _DEEPEST:
            yield from _values_in(inner, f"{path}{excerpt(name)}.", depth + 1)


def _cloud_of_location(fields: Mapping[str, Any]) -> str | None:
    """Return the cloud that a region is in: `az account list-locations` of each cloud names its regions so."""
    for _, name, value in _values_in(fields):
        if _plain(name) == "location" and isinstance(value, str):
            region = value.replace(" ", "").lower()
            if region.startswith(("usgov", "usdod")):
                return US_GOVERNMENT.name
            if region.startswith("china"):
                return CHINA.name
    return None


def _plain(name: str) -> str:
    """Return a name as tools agree on it: clientId, ClientId and client_id are one."""
    return name.replace("_", "").replace("-", "").lower()


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
