"""Who: the managed identity or application that a connection names."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.clouds import CLOUDS, PUBLIC, Cloud
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.redaction import quoted

_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_SUBSCRIPTION_OF_RESOURCE = re.compile(r"/subscriptions/([^/]*)(?:/|$)", re.IGNORECASE)


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
        environment: Mapping[str, str],
        login: str | None = None,
    ) -> "WorkloadIdentity":
        """Parse the extra of an Airflow connection, or what ``az identity create`` or ``show`` prints.

        :param extra: the extra, as a mapping or as JSON; null, empty and blank values mean absent.
        :param source: what is parsed, as messages shall name it, such as ``connection 'azure_wi'``.
        :param environment: AZURE_CLIENT_ID and AZURE_TENANT_ID are taken from here where the extra has none.
        :param login: the connection's login, where stock connections keep a client id.
        :raises IdentityError: names everything that is missing, malformed or contradictory, all at once.
        """
        fields, problems = _fields_of(extra)
        reader = _Reader(fields, problems)
        client_id = reader.read(_CLIENT_ID, [("login", login), _variable(environment, "AZURE_CLIENT_ID")])
        tenant_id = reader.read(_TENANT_ID, [_variable(environment, "AZURE_TENANT_ID")])
        subscription_id = reader.read(_SUBSCRIPTION_ID, [])
        cloud = reader.read(_CLOUD, [])
        if problems or client_id is None or tenant_id is None:
            raise IdentityError(source, problems)
        return cls(client_id, tenant_id, subscription_id, CLOUDS[cloud] if cloud else PUBLIC)


@dataclass(frozen=True)
class _Field:
    """One thing to find in an extra: the names it goes by, and what its value must look like."""

    names: tuple[str, ...]
    normalize: Callable[[str], str | None]
    expected: str
    missing: str | None = None
    from_resource_id: bool = False


def _guid(text: str) -> str | None:
    return text.lower() if _GUID.fullmatch(text.lower()) else None


def _guid_or_domain(text: str) -> str | None:
    return _guid(text) or (text.lower() if _DOMAIN.fullmatch(text.lower()) else None)


def _cloud(text: str) -> str | None:
    return text if text in CLOUDS else None


_CLIENT_ID = _Field(
    names=("clientId", "client_id", "managed_identity_client_id"),
    normalize=_guid,
    expected="a GUID such as 6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10 (`clientId` in the output of `az identity show`)",
    missing="clientId is missing: enter the client id of the managed identity (`clientId` in the output of "
    "`az identity show`), or set AZURE_CLIENT_ID where the task runs",
)
_TENANT_ID = _Field(
    names=("tenantId", "tenant_id", "workload_identity_tenant_id"),
    normalize=_guid_or_domain,
    expected="a GUID such as 72f988bf-86f1-41af-91ab-2d7cd011db47 or a domain name such as "
    "contoso.onmicrosoft.com (`tenantId` in the output of `az identity show`)",
    missing="tenantId is missing: enter the tenant of the managed identity (`tenantId` in the output of "
    "`az identity show`), or set AZURE_TENANT_ID where the task runs",
)
_SUBSCRIPTION_ID = _Field(
    names=("subscriptionId", "subscription_id"),
    normalize=_guid,
    expected="a GUID such as 0b1f6471-1bf0-4dda-aec3-cb9272f09590 (`az account show --query id`)",
    from_resource_id=True,
)
_CLOUD = _Field(
    names=("cloud_environment",),
    normalize=_cloud,
    expected="one of " + ", ".join(CLOUDS),
)


class _Reader:
    """Reads fields one after the other and collects what is wrong with all of them."""

    def __init__(self, extra: Mapping[str, Any], problems: list[str]) -> None:
        self._extra = extra
        self._problems = problems
        # Nothing can be said to be missing from an extra that could not be read.
        self._is_readable = not problems

    def read(self, field: _Field, fallbacks: list[tuple[str, Any]]) -> str | None:
        """Return the field's value, normalized, or None where it is absent or wrong."""
        found = [(name, value) for name, value in self._candidates(field) if not _is_absent(value)]
        if not found:
            found = [(name, value) for name, value in fallbacks if not _is_absent(value)][:1]
        if not found:
            if field.missing and self._is_readable:
                self._problems.append(field.missing)
            return None
        values = {name: self._normalized(name, value, field) for name, value in found}
        distinct = set(values.values()) - {None}
        if len(distinct) > 1:
            named = " but ".join(f"{name} is {value}" for name, value in values.items() if value is not None)
            self._problems.append(f"{named}: they mean the same field and must not differ; remove the wrong one")
            return None
        return distinct.pop() if distinct else None

    def _candidates(self, field: _Field) -> Iterator[tuple[str, Any]]:
        for name in field.names:
            yield name, self._extra.get(name)
        if field.from_resource_id and isinstance(resource_id := self._extra.get("id"), str):
            in_resource_id = _SUBSCRIPTION_OF_RESOURCE.match(resource_id.strip())
            yield "the subscription in id", in_resource_id.group(1) if in_resource_id else None

    def _normalized(self, name: str, value: Any, field: _Field) -> str | None:
        normalized = field.normalize(value.strip()) if isinstance(value, str) else None
        if normalized is None:
            self._problems.append(f"{name} is {quoted(value)}, expected {field.expected}")
        return normalized


def _fields_of(extra: Mapping[str, Any] | str | None) -> tuple[Mapping[str, Any], list[str]]:
    if _is_absent(extra):
        return {}, []
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except (ValueError, RecursionError) as error:
            return {}, [f"extra is not JSON ({error}); expected an object with clientId and tenantId"]
    if not isinstance(extra, Mapping):
        return {}, [f"extra is {quoted(extra)}, expected a JSON object with clientId and tenantId"]
    return extra, []


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str | None]:
    return f"the environment variable {name}", environment.get(name)


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
