"""What is examined: who signs in, where, and at which services; and what the checks leave for later ones."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.clouds import PUBLIC, Cloud
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.endpoints import split_https_url
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.federation import IdentityResource
from airflow_azure_wi.identity import (
    WorkloadIdentity,
    extra_of_connection,
    identity_from_connection,
    is_stock_workload_identity,
    name_of,
)
from airflow_azure_wi.provider import OPTIONS, option_variable
from airflow_azure_wi.redaction import excerpt
from airflow_azure_wi.tokens import FederatedToken, object_id_in

_TOKEN_PROXY = "AZURE_KUBERNETES_TOKEN_PROXY"
_COMMANDS_OF_DEVELOPERS = {"azure_cli": "the Azure CLI", "azure_developer_cli": "the Azure Developer CLI"}

_STORAGE_SCOPE = "https://storage.azure.com/.default"
# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints; what follows the
# account may have a zone (acct.z1.blob.core.windows.net).
_STORAGE_HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})(\.z\d+)?\.(?P<kind>blob|dfs|queue|table|file)")
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_CONTAINER = re.compile(r"[a-z0-9$][a-z0-9-]{2,62}")


@dataclass(frozen=True)
class Role:
    """How an identity gets access to a service.

    :param service: its name.
    :param role: a built-in role that reads and writes data:
        https://learn.microsoft.com/azure/role-based-access-control/built-in-roles.
    :param placeholder: what stands for the resource in the command if its name is not known.
    :param lookup: the arguments of ``az`` that print the resource's id, without its name.
    """

    service: str
    role: str
    placeholder: str
    lookup: str


_STORAGE = {
    kind: Role("Azure Storage", f"Storage {data} Contributor", "ACCOUNT", "storage account show")
    for kind, data in {
        "blob": "Blob Data",
        "dfs": "Blob Data",
        "queue": "Queue Data",
        "table": "Table Data",
        "file": "File Data Privileged",
    }.items()
}
_ROLES = {
    "storage.azure.com": _STORAGE["blob"],
    "vault.azure.net": Role("Azure Key Vault", "Key Vault Secrets User", "VAULT", "keyvault show"),
    "servicebus.azure.net": Role(
        "Azure Service Bus",
        "Azure Service Bus Data Owner",
        "NAMESPACE",
        "servicebus namespace show --resource-group GROUP",
    ),
}


@dataclass(frozen=True)
class Target:
    """What a scope, or the URL of a storage account or container, asks for.

    :param scope: the scope to get a token for.
    :param name: what can be read, for messages; None if nothing can.
    :param url: the URL whose answer says whether it can be read, or None.
    :param role: what gives access to it, or None if that is not known.
    :param resource: the resource's name in Azure, or None if it is not known.
    :param within: the path from the resource to what the role is needed for, such as a container.
    """

    scope: str
    name: str | None = None
    url: str | None = None
    role: Role | None = None
    resource: str | None = None
    within: str = ""

    def assignment(self, object_id: str) -> str | None:
        """Return the command for sh that assigns the role, if it is known.

        :param object_id: a GUID, of the identity's service principal.
        """
        if self.role is None:
            return None
        lookup = f"az {self.role.lookup} --query id --output tsv --name {self.resource or self.role.placeholder}"
        principal = f"--assignee-object-id {object_id} --assignee-principal-type ServicePrincipal"
        # If nothing is found, the scope must not become empty.
        return (
            f"ID=$({lookup} | tr -d '\\r')\n"
            f'[ -n "$ID" ] && az role assignment create --role {shlex.quote(self.role.role)} {principal} '
            f'--scope "$ID{self.within}"'
        )


def target_of(text: str, cloud: Cloud) -> Target:
    """Return what a scope or a URL asks for. A token is sent only to the storage hosts of the cloud.

    :param text: a scope, or the https URL of a storage account or of a container in it.
    """
    return _storage_target(text, cloud) or Target(text, role=_role_for(text))


@dataclass
class DoctorContext:
    """A sign-in to examine, and what the checks have found of it.

    :param about: what names the identity: its name in messages.
    :param identity: who to sign in as, or None if ``identity_problem`` says why that is unknown.
    :param deployment: where the federated token is, where it is sent, and what Airflow's options say; a field that
        cannot be known has a problem there.
    :param resource: where the identity is found in Azure, if that is known.
    :param is_stock: whether the connection is of the stock type `azure`, as Astro's Environment Manager makes them.
    :param serves_stock: what the option ``serve_stock_connections`` says.
    :param targets: what to get access tokens for, and to read.
    :param subscription_id: a subscription that has to be visible to the identity, or None.
    """

    about: str
    environment: Mapping[str, str]
    identity: WorkloadIdentity | None
    identity_problem: str | None
    deployment: Deployment
    resource: IdentityResource | None
    is_stock: bool = False
    serves_stock: bool = False
    targets: tuple[Target, ...] = ()
    subscription_id: str | None = None
    # Set by the checks, which later ones need. No token is in the repr of a context.
    token: FederatedToken | None = field(default=None, init=False, repr=False)
    access_tokens: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    signed_in: str | None = field(default=None, init=False)
    authority_time: str | None = field(default=None, init=False)

    @classmethod
    def of(
        cls,
        connection: Any,
        *,
        environment: Mapping[str, str],
        source: str | None = None,
        options: Mapping[str, str] | None = None,
        serves_stock: bool = False,
        resource: IdentityResource | None = None,
    ) -> "DoctorContext":
        """Gather what is examined from a connection and an environment. What is wrong with them is part of it.

        :param connection: an Airflow connection, or None if the environment alone names the identity.
        :param source: the name of the connection used in messages; ``connection`` and its id unless given.
        :param options: Airflow's options, or None to take those that the environment sets.
        :param serves_stock: what the option ``serve_stock_connections`` says.
        """
        about = source or ("the environment" if connection is None else name_of(connection))
        identity, identity_problem = None, None
        try:
            identity = _identity(connection, environment, about)
        except IdentityError as error:
            identity_problem = str(error)
        return cls(
            about=about,
            environment=environment,
            identity=identity,
            identity_problem=identity_problem,
            deployment=Deployment.with_problems(environment, options or _options_in(environment)),
            resource=resource or _resource_in(connection),
            is_stock=connection is not None and is_stock_workload_identity(connection),
            serves_stock=serves_stock,
        )

    @classmethod
    def in_airflow(
        cls, connection: Any, *, source: str | None = None, resource: IdentityResource | None = None
    ) -> "DoctorContext":
        """Gather what is examined from a connection in a process of Airflow, whose options and environment count.

        The parameters are those of :meth:`of`.
        """
        return cls.of(
            connection,
            environment=os.environ,
            source=source,
            options=airflow_compat.options(),
            serves_stock=airflow_compat.serves_stock_connections(),
            resource=resource,
        )

    @property
    def cloud(self) -> Cloud:
        """The cloud of the identity, or the public one while that is unknown."""
        return self.identity.cloud if self.identity else PUBLIC

    @property
    def authority_host(self) -> str:
        """The https URL that exchanges the token."""
        return self.deployment.authority_host_for(self.cloud)

    @property
    def development_credential(self) -> str | None:
        """How a developer signs in here instead of the identity, if so."""
        is_unknown = "token_file" in self.deployment.problems
        return None if is_unknown else self.deployment.development_credential_in_use()

    @property
    def token_proxy(self) -> str | None:
        """The proxy of AKS identity bindings that exchanges go to instead of the authority host, if they do."""
        return self.environment.get(_TOKEN_PROXY) or None if self.deployment.identity_binding else None

    @property
    def other_route(self) -> str | None:
        """How access tokens get here without a connection of this process to the authority host, if they do."""
        if "authority_host" in self.deployment.problems:
            return None
        if self.token_proxy:
            return f"tokens are exchanged by the proxy of AKS identity bindings, {excerpt(self.token_proxy)}"
        command = _COMMANDS_OF_DEVELOPERS.get(self.development_credential or "")
        return f"{command} gets access tokens on its own network path" if command else None

    @property
    def object_id(self) -> str | None:
        """The object id of the identity's service principal; None before the sign-in, and if a developer signs in."""
        access_token = self.access_tokens.get(self.cloud.resource_manager_scope)
        return None if access_token is None or self.development_credential else object_id_in(access_token)


def _storage_target(text: str, cloud: Cloud) -> Target | None:
    parts = split_https_url(text)
    if parts is None or parts.query or parts.fragment or parts.port not in (None, 443):
        return None
    host = (parts.hostname or "").removesuffix(f".{cloud.storage_suffix}")
    match = _STORAGE_HOST.fullmatch(host) if host != parts.hostname else None
    container = parts.path.strip("/")
    if match is None or (container and not _CONTAINER.fullmatch(container)):
        return None
    account, role = match["account"], _STORAGE[match["kind"]]
    if match["kind"] not in ("blob", "dfs"):
        return Target(_STORAGE_SCOPE, role=role, resource=account)
    base = f"https://{host.replace('.dfs', '.blob')}.{cloud.storage_suffix}/"
    if not container:
        return Target(_STORAGE_SCOPE, f"the containers of {account}", f"{base}?comp=list&maxresults=1", role, account)
    return Target(
        _STORAGE_SCOPE,
        f"the container {container} of {account}",
        f"{base}{container}?restype=container&comp=list&maxresults=1",
        role,
        account,
        f"/blobServices/default/containers/{container}",
    )


def _role_for(scope: str) -> Role | None:
    try:
        return _ROLES.get(urlsplit(scope).hostname or "")
    except ValueError:
        return None


def _options_in(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {name: environment.get(option_variable(name), "") for name in OPTIONS}


def _identity(connection: Any, environment: Mapping[str, str], about: str) -> WorkloadIdentity:
    if connection is None:
        return WorkloadIdentity.from_extra(None, source=about, environment=environment)
    return identity_from_connection(connection, environment=environment, source=about)


def _resource_in(connection: Any) -> IdentityResource | None:
    """Return where the identity is, if the connection holds all that ``az identity show`` prints."""
    resource_id = None if connection is None else extra_of_connection(connection).get("id")
    return IdentityResource.from_resource_id(resource_id) if isinstance(resource_id, str) else None
