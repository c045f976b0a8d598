"""Who: the managed identity or application that a connection names."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.clouds import CHINA, CLOUDS, PUBLIC, US_GOVERNMENT, Cloud, cloud_named, names_of_clouds
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.provider import CONNECTION_TYPE, FIELDS, GUID, GUID_OR_DOMAIN, STOCK_CONNECTION_TYPE
from airflow_azure_wi.redaction import excerpt, quoted

_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_SUBSCRIPTION_OF_RESOURCE = re.compile(r"/subscriptions/([^/]*)(?:/|$)", re.IGNORECASE)

# What stock hooks call client id and tenant of a managed identity.
STOCK_NAMES = FIELDS["clientId"].other_names + FIELDS["tenantId"].other_names

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
        client_id = reader.read("clientId", login=login)
        tenant_id = reader.read("tenantId")
        subscription_id = reader.read("subscriptionId")
        cloud = reader.read_cloud() or _cloud_of_location(fields)
        if problems or client_id is None or tenant_id is None:
            raise IdentityError(source, problems)
        return cls(client_id, tenant_id, subscription_id, CLOUDS[cloud] if cloud else PUBLIC)


def is_guid(text: str) -> bool:
    """Return whether a text is a GUID, in whatever case."""
    return _GUID.fullmatch(text.lower()) is not None


def _guid(text: str) -> str | None:
    return text.lower() if is_guid(text) else None


def _guid_or_domain(text: str) -> str | None:
    return text.lower() if is_guid(text) or _DOMAIN.fullmatch(text.lower()) else None


def _cloud(text: str) -> str | None:
    return cloud.name if (cloud := cloud_named(text)) else None


_NORMALIZERS = {GUID: _guid, GUID_OR_DOMAIN: _guid_or_domain}
_SUCH_AS = {
    GUID: "a GUID such as {}",
    GUID_OR_DOMAIN: "a GUID such as {} or a domain name such as contoso.onmicrosoft.com",
}


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

    def read(self, name: str, **fallbacks: Any) -> str | None:
        """Return the value of a field of the connection, normalized, or None where it is absent or wrong."""
        field = FIELDS[name]
        found = self._named({name, *field.other_names})
        if name == "subscriptionId":
            found |= self._subscriptions_in_resource_ids()
        if not found:
            if field.variable and self._environment is not None:
                fallbacks[f"the environment variable {field.variable}"] = self._environment.get(field.variable)
            found = dict(_present(fallbacks.items())[:1])
        if not found and field.is_required and self._is_readable:
            or_variable = "" if self._environment is None else f", or set {field.variable} where the task runs"
            self._problems.append(f"{name} is missing: enter {field.meaning} ({field.printed_by}){or_variable}")
        expected = f"{_SUCH_AS[field.accepts].format(field.example)} ({field.printed_by})"
        return self._agreed(found, _NORMALIZERS[field.accepts], expected)

    def read_cloud(self) -> str | None:
        """Return the name of the cloud, or None where it is absent or wrong."""
        return self._agreed(self._named({"cloud_environment"}), _cloud, f"one of {names_of_clouds()}")

    def _named(self, names: set[str]) -> dict[str, Any]:
        plain = set(map(_plain, names))
        return dict(_present((f"{path}{name}", value) for path, name, value in self._values if _plain(name) in plain))

    def _subscriptions_in_resource_ids(self) -> dict[str, str]:
        ids = [(path + name, value) for path, name, value in self._values if _plain(name) == "id"]
        matches = {name: _SUBSCRIPTION_OF_RESOURCE.match(str(value).strip()) for name, value in ids}
        return dict(_present((f"the subscription in {name}", match[1]) for name, match in matches.items() if match))

    def _agreed(self, found: Mapping[str, Any], normalize: Callable[[str], str | None], expected: str) -> str | None:
        """Return the one value that is meant, or None where there is none, or a problem."""
        values = {}
        for name, value in found.items():
            values[name] = normalize(value.strip()) if isinstance(value, str) else None
            if values[name] is None:
                self._problems.append(f"{name} is {quoted(value)}, expected {expected}")
        distinct = set(values.values()) - {None}
        if len(distinct) > 1:
            named = " but ".join(f"{name} is {value}" for name, value in values.items() if value is not None)
            self._problems.append(f"{named}: they mean the same field and must not differ; remove the wrong one")
            return None
        return distinct.pop() if distinct else None


def _present(values: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in values if not _is_absent(value)]


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
