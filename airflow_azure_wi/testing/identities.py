"""Managed identities and their federated identity credentials."""

import hmac
import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from airflow_azure_wi.clouds import PUBLIC

# https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
MOST_CREDENTIALS = 20

_RESOURCE_TYPE = "Microsoft.ManagedIdentity/userAssignedIdentities"


@dataclass(frozen=True)
class FederatedIdentityCredential:
    """Makes a managed identity trust an issuer's tokens with this subject and one of these audiences.

    All three are compared exactly, including letter case.
    """

    name: str
    issuer: str
    subject: str
    audiences: tuple[str, ...] = (PUBLIC.token_exchange_audience,)


def _new_id() -> str:
    return str(uuid4())


@dataclass
class ManagedIdentity:
    """A user-assigned managed identity. Without arguments, it has new random ids.

    :param client_id: a GUID, which a workload signs in with.
    :param tenant_id: a GUID.
    :param subscription_id: a GUID.
    :param principal_id: a GUID, the ``oid`` of access tokens.
    :param name: the name of the resource.
    :param resource_group: its resource group.
    :param tenant_domain: a domain name that requests can also use for the tenant.
    :param disabled: whether sign-in is disabled.
    :param access_token_lifetime: seconds until its access tokens expire, rounded to whole seconds, or None for those of
        the simulated Entra.
    """

    client_id: str = field(default_factory=_new_id)
    tenant_id: str = field(default_factory=_new_id)
    subscription_id: str = field(default_factory=_new_id)
    principal_id: str = field(default_factory=_new_id)
    name: str = "airflow"
    resource_group: str = "airflow-rg"
    tenant_domain: str | None = None
    disabled: bool = False
    access_token_lifetime: float | None = None
    _credentials: dict[str, FederatedIdentityCredential] = field(default_factory=dict, init=False, repr=False)
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def registered_in(self) -> str:
        """The tenant that holds its federated identity credentials."""
        return self.tenant_id

    @property
    def resource_id(self) -> str:
        """The id of its Azure resource."""
        group = f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group}"
        return f"{group}/providers/{_RESOURCE_TYPE}/{self.name}"

    @property
    def federated_credentials(self) -> tuple[FederatedIdentityCredential, ...]:
        """The current federated identity credentials."""
        with self._lock:
            return tuple(self._credentials.values())

    def add_credential(self, credential: FederatedIdentityCredential) -> None:
        """Create a federated identity credential, or replace the one with the same name. Takes effect at once.

        :raises ValueError: if Azure would refuse it: a 21st one, or a second one with the same issuer and subject.
        """
        with self._lock:
            others = [other for name, other in self._credentials.items() if name != credential.name]
            if len(others) >= MOST_CREDENTIALS:
                raise ValueError(f"A managed identity holds at most {MOST_CREDENTIALS} federated identity credentials.")
            if any((other.issuer, other.subject) == (credential.issuer, credential.subject) for other in others):
                raise ValueError("Issuer and subject combination already exists for this Managed Identity.")
            self._credentials[credential.name] = credential

    def remove_credential(self, name: str) -> None:
        """Delete a federated identity credential. Takes effect at once.

        :raises KeyError: if there is none with that name.
        """
        with self._lock:
            del self._credentials[name]

    def has_secret(self, secret: str) -> bool:
        """Whether the client secret of a token request is right. A managed identity has no secret."""
        return False

    def as_json(self) -> dict[str, Any]:
        """Return what ``az identity create`` prints."""
        return {
            "clientId": self.client_id,
            "id": self.resource_id,
            "location": "westeurope",
            "name": self.name,
            "principalId": self.principal_id,
            "resourceGroup": self.resource_group,
            "systemData": None,
            "tags": {},
            "tenantId": self.tenant_id,
            "type": _RESOURCE_TYPE,
        }


@dataclass
class Application(ManagedIdentity):
    """An application, as its service principal in one tenant. Otherwise like a managed identity.

    :param secret: the client secret, or None.
    :param home_tenant_id: the GUID of the tenant where it is registered, if it is another one.
    """

    secret: str | None = field(default=None, repr=False)
    home_tenant_id: str | None = None

    @property
    def registered_in(self) -> str:
        """The tenant that holds its federated identity credentials."""
        return self.home_tenant_id or self.tenant_id

    def has_secret(self, secret: str) -> bool:
        """Whether the client secret of a token request is right."""
        return self.secret is not None and hmac.compare_digest(secret, self.secret)
