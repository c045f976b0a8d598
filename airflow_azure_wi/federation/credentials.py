"""Federated identity credentials: what they say, what they are called, and which values Entra accepts in them."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_azure_wi.federation.issuers import problem_of_issuer
from airflow_azure_wi.identity import is_guid
from airflow_azure_wi.redaction import quoted

# Each is at most this long:
# https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
_LONGEST_VALUE = 600

# The names of resources, and what may be in them:
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_LONGEST_CREDENTIAL_NAME = 120
_IDENTITY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}")
_RESOURCE_GROUP = re.compile(r"(?=.{1,90}$)[\w().-]*[\w()-]")
_TENANT = re.compile(r"(?=.{3,253}$)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_RESOURCE_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/(?P<name>[^/]+)",
    re.IGNORECASE,
)

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True)
class FederatedIdentityCredential:
    """Says that a managed identity trusts tokens with this issuer, subject and audience.

    :param name: its name, unique on the identity.
    """

    name: str
    issuer: str
    subject: str
    audience: str

    @classmethod
    def of(cls, issuer: str, subject: str, audience: str) -> "FederatedIdentityCredential":
        """Return the credential for a workload, with a name that is always the same for that workload."""
        return cls(credential_name(issuer, subject), issuer, subject, audience)


@dataclass(frozen=True)
class IdentityResource:
    """Where a managed identity is found in Azure.

    :param subscription_id: its subscription, or None for the one that the Azure CLI is set to.
    """

    name: str
    resource_group: str
    subscription_id: str | None = None

    @property
    def title(self) -> str:
        """The identity, in messages."""
        return f"managed identity {self.name}"

    def as_json(self) -> dict[str, str | None]:
        """Return it with the names that the Azure CLI uses."""
        return {"name": self.name, "resourceGroup": self.resource_group, "subscriptionId": self.subscription_id}

    def problems(self) -> Iterator[str]:
        """Say what is wrong with the names by which the identity is to be found."""
        return problems_of_identity(self)

    @classmethod
    def from_resource_id(cls, resource_id: str) -> "IdentityResource | None":
        """Parse ``id`` in what ``az identity show`` prints; None if it is not that."""
        parts = _RESOURCE_ID.fullmatch(resource_id.strip())
        if parts is None:
            return None
        resource = cls(parts["name"], parts["group"], parts["subscription"])
        return None if any(problems_of_identity(resource)) else resource


@dataclass(frozen=True)
class Application:
    """An application with federated identity credentials of its own.

    :param client_id: its application id, a GUID.
    :param tenant_id: the other tenant in which it is to sign in, a GUID or a domain name, or None where not given.
    """

    client_id: str
    tenant_id: str | None = None

    @property
    def title(self) -> str:
        """The application, in messages."""
        return f"application {self.client_id}"

    def as_json(self) -> dict[str, str | None]:
        """Return it with the names of a connection."""
        return {"clientId": self.client_id, "tenantId": self.tenant_id}

    def problems(self) -> Iterator[str]:
        """Say what is wrong with its ids."""
        if not is_guid(self.client_id):
            yield (
                f"The application is {quoted(self.client_id)}, expected its application (client) id, a GUID (`az ad "
                "app list --display-name NAME --query [].appId`)"
            )
        if self.tenant_id is not None and not _TENANT.fullmatch(self.tenant_id):
            yield f"The tenant is {quoted(self.tenant_id)}, expected a GUID or a domain such as contoso.onmicrosoft.com"


# What holds federated identity credentials.
Holder = IdentityResource | Application


def credential_name(issuer: str, subject: str) -> str:
    """Return a name for the credential of a workload.

    It holds a digest of issuer and subject: two clusters may have the same namespaces and service accounts, and a
    credential that is created under an existing name replaces that one.
    """
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", subject.removeprefix(SERVICE_ACCOUNT_PREFIX)).strip("-") or "workload"
    return f"{readable[: _LONGEST_CREDENTIAL_NAME - 9].rstrip('-')}-{digest}"


def problems_of_identity(identity: IdentityResource) -> Iterator[str]:
    """Say what is wrong with the names by which the identity is to be found."""
    if not _IDENTITY_NAME.fullmatch(identity.name):
        yield (
            f"The name of the managed identity is {quoted(identity.name)}, expected 3 to 128 letters, digits, - and _, "
            "beginning with a letter or digit (`name` in the output of `az identity list`)"
        )
    if not _RESOURCE_GROUP.fullmatch(identity.resource_group):
        yield (
            f"The resource group is {quoted(identity.resource_group)}, expected 1 to 90 letters, digits, - _ . ( ), "
            "not ending with a dot (`resourceGroup` in the output of `az identity list`)"
        )
    if identity.subscription_id is not None and not is_guid(identity.subscription_id):
        yield (
            f"The subscription is {quoted(identity.subscription_id)}, expected a GUID (`az account show --query id`)"
        )


def problems_of_credential(credential: FederatedIdentityCredential) -> Iterator[str]:
    """Say what is wrong with what a credential is to match."""
    if problem := _problem_of_issuer(credential.issuer):
        yield (
            f"The issuer is {quoted(credential.issuer)}: {problem}. Give the cluster's public OIDC issuer, to the last "
            "character as its tokens have it in iss (on AKS: `az aks show --query oidcIssuerProfile.issuerUrl`)"
        )
    if not _is_plain(credential.subject):
        yield (
            f"The subject is {quoted(credential.subject)}, expected up to {_LONGEST_VALUE} printable characters such "
            f"as {SERVICE_ACCOUNT_PREFIX}airflow:airflow-worker"
        )
    if not _is_plain(credential.audience) or " " in credential.audience:
        yield (
            f"The audience is {quoted(credential.audience)}, expected up to {_LONGEST_VALUE} printable characters such "
            "as api://AzureADTokenExchange"
        )


def _is_plain(value: str) -> bool:
    return 0 < len(value) <= _LONGEST_VALUE and value.isprintable() and value == value.strip()


def _problem_of_issuer(issuer: str) -> str | None:
    if not _is_plain(issuer) or re.search(r"['\"\\<>`]", issuer):
        return "it is not an https URL"
    return problem_of_issuer(issuer)
