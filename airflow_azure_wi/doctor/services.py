"""The services that a scope or a URL means, which role opens each, and whether it can be read."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_azure_wi.clouds import Cloud
from airflow_azure_wi.doctor.result import Remark
from airflow_azure_wi.endpoints import split_https_url

_STORAGE_SCOPE = "https://storage.azure.com/.default"

# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints; what follows the
# account may have a zone (acct.z1.blob.core.windows.net).
_STORAGE_HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})(\.z\d+)?\.(?P<kind>blob|dfs|queue|table|file)")
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_CONTAINER = re.compile(r"[a-z0-9$][a-z0-9-]{2,62}")


@dataclass(frozen=True)
class Role:
    """How an identity is let into a service.

    :param service: its name.
    :param role: a built-in role that reads and writes data:
        https://learn.microsoft.com/azure/role-based-access-control/built-in-roles.
    :param placeholder: what stands for the resource in the command, where its name is not known.
    :param lookup: the Azure CLI's command that prints the resource's id, without its name.
    """

    service: str
    role: str
    placeholder: str
    lookup: tuple[str, ...]


_SHOW = ("--query", "id", "--output", "tsv")
_BLOB_ROLE = Role(
    "Azure Storage",
    "Storage Blob Data Contributor",
    "ACCOUNT",
    ("az", "storage", "account", "show", *_SHOW, "--name"),
)
_STORAGE_ROLES = {
    "blob": "Storage Blob Data Contributor",
    "dfs": "Storage Blob Data Contributor",
    "queue": "Storage Queue Data Contributor",
    "table": "Storage Table Data Contributor",
    "file": "Storage File Data Privileged Contributor",
}
_ROLES = {
    "storage.azure.com": _BLOB_ROLE,
    "vault.azure.net": Role(
        "Azure Key Vault", "Key Vault Secrets User", "VAULT", ("az", "keyvault", "show", *_SHOW, "--name")
    ),
    "servicebus.azure.net": Role(
        "Azure Service Bus",
        "Azure Service Bus Data Owner",
        "NAMESPACE",
        ("az", "servicebus", "namespace", "show", *_SHOW, "--resource-group", "GROUP", "--name"),
    ),
}


@dataclass(frozen=True)
class Target:
    """What a scope, or the URL of a storage account or container, asks for.

    :param scope: the scope to get a token for.
    :param name: what can be read, for messages; None where nothing can.
    :param url: the URL whose answer says whether it can be read, or None.
    :param role: what opens it, or None where that is not known.
    :param resource: the resource's name in Azure, or None where it is not known.
    :param within: the path from the resource to what the role is needed for, such as a container.
    """

    scope: str
    name: str | None = None
    url: str | None = None
    role: Role | None = None
    resource: str | None = None
    within: str = ""

    def assignments(self, object_id: str) -> Iterator[str]:
        """Return the command for sh that assigns the role, where it is known.

        :param object_id: a GUID, of the identity's service principal.
        """
        if self.role is None:
            return
        resource = self.resource or self.role.placeholder
        # What is not found must not become an empty scope.
        find = f"ID=$({shlex.join([*self.role.lookup, resource])} | tr -d '\\r')"
        create = ["az", "role", "assignment", "create", "--role", self.role.role]
        principal = ["--assignee-object-id", object_id, "--assignee-principal-type", "ServicePrincipal"]
        yield f'{find}\n[ -n "$ID" ] && {shlex.join([*create, *principal])} --scope "$ID{self.within}"'


def target_of(text: str, cloud: Cloud) -> Target:
    """Return what a scope or a URL asks for. A token is sent only to the storage hosts of the cloud.

    :param text: a scope, or the https URL of a storage account or of a container in it.
    """
    return _storage_target(text, cloud) or Target(text, role=_role_for(text))


def _storage_target(text: str, cloud: Cloud) -> Target | None:
    parts = split_https_url(text)
    if parts is None or parts.query or parts.fragment or parts.port not in (None, 443):
        return None
    host = (parts.hostname or "").removesuffix(f".{cloud.storage_suffix}")
    match = _STORAGE_HOST.fullmatch(host) if host != parts.hostname else None
    container = parts.path.strip("/")
    if match is None or (container and not _CONTAINER.fullmatch(container)):
        return None
    account, kind = match["account"], match["kind"]
    role = Role("Azure Storage", _STORAGE_ROLES[kind], _BLOB_ROLE.placeholder, _BLOB_ROLE.lookup)
    if kind not in ("blob", "dfs"):
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
        host = urlsplit(scope).hostname or ""
    except ValueError:
        return None
    return next((role for known, role in _ROLES.items() if host == known), None)


def remark_on(targets: Sequence[Target], object_id: str | None) -> Remark:
    """Return what is said where all checks were good: that roles are another matter, and how to assign the one needed.

    :param targets: what was asked for.
    :param object_id: that of the identity's service principal, or None where a role is not assigned to it.
    """
    if targets and all(target.url is not None for target in targets):
        return Remark("Sign-in works, and so does reading. Writing is not checked.")
    text = "Sign-in works. Roles are not checked; without one, reading is refused with 403."
    known = [target for target in targets if target.role is not None and target.url is None]
    if not known:
        return Remark(f"{text} To let a storage account be read, add --scope https://ACCOUNT.blob.core.windows.net.")
    role = known[0].role
    if object_id is None or role is None:
        return Remark(text)
    named = "" if known[0].resource else f" ({role.placeholder} stands for its name)"
    return Remark(f"{text} This assigns one for {role.service}{named}:", tuple(known[0].assignments(object_id)))
