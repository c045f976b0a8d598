"""Federated identity credentials: what they say, who holds them, and which values Entra and Azure accept in them.

Entra trusts a workload's federated token because a federated identity credential on a managed identity or an
application names the token's issuer, subject and audience. Entra fetches the issuer's keys over the internet:
https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations and
https://openid.net/specs/openid-connect-discovery-1_0.html (the issuer is an https URL without query and fragment).
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_azure_wi.endpoints import split_https_url
from airflow_azure_wi.errors import Problem
from airflow_azure_wi.identity import is_guid
from airflow_azure_wi.redaction import quoted

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"

# What Entra accepts in a credential: the page above.
_LONGEST_VALUE = 600
_PRINTABLE = f"expected up to {_LONGEST_VALUE} printable characters"

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

_CONFIGURATION = "/.well-known/openid-configuration"
_AKS_SUFFIX = ".oic.prod-aks.azure.com"
# Names that are never in public DNS: RFC 6761, RFC 6762, RFC 8375 and ICANN's .internal; .default and .svc end the
# short forms of a service's name in Kubernetes.
_PRIVATE_SUFFIXES = (".default", ".svc", ".local", ".localhost", ".internal", ".localdomain", ".home.arpa")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_HOW = "Entra fetches an issuer's keys over the internet"


@dataclass(frozen=True)
class FederatedIdentityCredential:
    """Says that its holder trusts tokens with this issuer, subject and audience.

    :param name: its name, unique on the holder.
    """

    name: str
    issuer: str
    subject: str
    audience: str

    @classmethod
    def of(cls, issuer: str, subject: str, audience: str) -> "FederatedIdentityCredential":
        """Return the credential for a workload, with a name that is always the same for that workload."""
        return cls(credential_name(issuer, subject), issuer, subject, audience)

    def as_json(self) -> dict[str, object]:
        """Return it with the names that the Azure CLI and Microsoft Graph use."""
        return {"name": self.name, "issuer": self.issuer, "subject": self.subject, "audiences": [self.audience]}

    def problems(self) -> Iterator[Problem]:
        """Say what is wrong with its issuer, subject and audience."""
        if problem := _problem_of_issuer_value(self.issuer):
            yield (
                "issuer",
                f"The issuer is {quoted(self.issuer)}: {problem}. Give the cluster's public OIDC issuer, exactly "
                "as its tokens have it in iss (on AKS: `az aks show --query oidcIssuerProfile.issuerUrl`)",
            )
        if not _is_plain(self.subject):
            example = f"{SERVICE_ACCOUNT_PREFIX}airflow:airflow-worker"
            yield "subject", f"The subject is {quoted(self.subject)}, {_PRINTABLE} such as {example}"
        if not _is_plain(self.audience) or " " in self.audience:
            example = "api://AzureADTokenExchange"
            yield "audience", f"The audience is {quoted(self.audience)}, {_PRINTABLE} such as {example}"


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

    def problems(self) -> Iterator[Problem]:
        """Say what is wrong with the names that the identity is looked up by."""
        if not _IDENTITY_NAME.fullmatch(self.name):
            yield (
                "identity_name",
                f"The name of the managed identity is {quoted(self.name)}, expected 3 to 128 letters, digits, - and _, "
                "beginning with a letter or digit (`name` in the output of `az identity list`)",
            )
        if not _RESOURCE_GROUP.fullmatch(self.resource_group):
            yield (
                "resource_group",
                f"The resource group is {quoted(self.resource_group)}, expected 1 to 90 letters, digits, - _ . ( ), "
                "not ending with a dot (`resourceGroup` in the output of `az identity list`)",
            )
        if self.subscription_id is not None and not is_guid(self.subscription_id):
            yield (
                "subscription",
                f"The subscription is {quoted(self.subscription_id)}, expected a GUID (`az account show --query id`)",
            )

    @classmethod
    def from_resource_id(cls, resource_id: str) -> "IdentityResource | None":
        """Parse ``id`` in what ``az identity show`` prints; None if it is not that."""
        parts = _RESOURCE_ID.fullmatch(resource_id.strip())
        if parts is None:
            return None
        resource = cls(parts["name"], parts["group"], parts["subscription"])
        return None if any(resource.problems()) else resource


@dataclass(frozen=True)
class Application:
    """An application that holds federated identity credentials itself.

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

    def problems(self) -> Iterator[Problem]:
        """Say what is wrong with its ids."""
        if not is_guid(self.client_id):
            yield (
                "application",
                f"The application is {quoted(self.client_id)}, expected its application (client) id, a GUID (`az ad "
                "app list --display-name NAME --query [].appId`)",
            )
        if self.tenant_id is not None and not _TENANT.fullmatch(self.tenant_id):
            yield (
                "tenant",
                f"The tenant is {quoted(self.tenant_id)}, expected a GUID or a domain such as contoso.onmicrosoft.com",
            )


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


def audience_to_expect(audiences: tuple[str, ...], expected: str) -> str | None:
    """Return the audience of a federated token that a credential may expect: never one of the API server.

    With that, every token that the cluster projects for its own API would sign in to Azure. Audiences of API servers
    are https URLs and plain names (``--api-audiences`` of kube-apiserver); those for Entra begin with ``api://``.

    :param expected: the audience of the cloud's token exchange.
    """
    if expected in audiences:
        return expected
    return next((each for each in audiences if each.startswith("api://")), None)


def issuer_of(url: str) -> str:
    """Return the issuer of an OpenID configuration's address; any other address is returned unchanged.

    The address does not tell whether the issuer ends with a slash. That of AKS does:
    https://learn.microsoft.com/azure/aks/use-oidc-issuer.
    """
    if not url.endswith(_CONFIGURATION):
        return url
    issuer = url.removesuffix(_CONFIGURATION)
    parts = split_https_url(issuer)
    return f"{issuer}/" if parts and str(parts.hostname).endswith(_AKS_SUFFIX) else issuer


def problem_of_issuer(issuer: str) -> str | None:
    """Say why Entra cannot fetch the keys of an issuer, or return None.

    :return: the end of a sentence about the issuer, such as ``its host is an IP address: ...``.
    """
    if issuer.lower().startswith("http://"):
        return f"it is http, and {_HOW} by https only"
    parts = split_https_url(issuer)
    if parts is None or not parts.hostname:
        return "it is not an https URL"
    if parts.query or parts.fragment:
        return "it is not an issuer: an issuer has no query or fragment"
    return _problem_of_host(parts.hostname.rstrip("."))


def _problem_of_host(host: str) -> str | None:
    if _is_address(host):
        return f"its host is an IP address: {_HOW}, from a host name with a certificate"
    if host == "localhost" or host.endswith(_PRIVATE_SUFFIXES):
        return f"its host is known only inside a cluster or a private network: {_HOW}"
    if "." not in host:
        return f"its host is a single label, not a public DNS name: {_HOW}"
    return None if all(map(_LABEL.fullmatch, host.split("."))) else "its host is not a valid DNS name"


def _problem_of_issuer_value(issuer: str) -> str | None:
    if not _is_plain(issuer) or re.search(r"['\"\\<>`]", issuer):
        return "it is not an https URL"
    return problem_of_issuer(issuer)


def _is_plain(value: str) -> bool:
    return 0 < len(value) <= _LONGEST_VALUE and value.isprintable() and value == value.strip()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # A public DNS name does not end in a number: RFC 3696, section 2.
        return bool(re.fullmatch(r"(0x[0-9a-f]+|[0-9]+)", host.rsplit(".", 1)[-1], re.IGNORECASE))
    return True
