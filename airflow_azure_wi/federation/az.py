"""The Azure CLI's commands that create, compare and delete federated identity credentials, as text for a shell.

What is pasted into a terminal has no tabs and no history expansion, and does not end the shell. The Azure CLI of
Windows ends its lines with ``\\r``, also in Git Bash and WSL.
"""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.federation import (
    Application,
    FederatedIdentityCredential,
    Holder,
    IdentityResource,
    audience_to_expect,
)
from airflow_azure_wi.federation.comparison import Comparison
from airflow_azure_wi.federation.workloads import Workloads
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.redaction import LONGEST_EXCERPT, excerpt
from airflow_azure_wi.tokens import FederatedToken

_OPTION = re.compile(r"--[a-z][a-z-]+")
_WIDTH = 100

# The parentheses let a shell read everything before it runs anything, and keep a failure from closing the terminal
# that the lines are pasted into.
_BEGIN = "(\nset -e\n"
_END = ")\n"


def link_script(holder: Holder, credentials: Sequence[FederatedIdentityCredential]) -> str:
    """Return the commands, one after the other: Azure refuses writes to one identity that overlap (HTTP 409).

    Only the last prints to standard output: JSON that names client id and tenant, so that it can be piped on.
    """
    count = "1 workload" if len(credentials) == 1 else f"{len(credentials)} workloads"
    lines = [f"# Links {count} to the {holder.title}. Running it again changes nothing.\n{_BEGIN}"]
    for credential in credentials:
        if isinstance(holder, Application):
            # Microsoft Graph creates no second one of the same name, so it is looked for first:
            # https://learn.microsoft.com/graph/api/application-post-federatedidentitycredentials
            show = [*_command(holder, "show"), *options(federated_credential_id=credential.name), "--output", "none"]
            lines.append(wrapped(show).rstrip("\n") + " 2>/dev/null ||\n")
        lines.append(wrapped([*create(holder, credential), "--output", "none"]))
    if isinstance(holder, IdentityResource):
        lines.append(wrapped(_show(holder, "--output", "json")))
    elif holder.tenant_id is not None:
        # Not echo, which reads backslashes in some shells.
        lines.append(f"printf '%s\\n' {shlex.quote(json.dumps(holder.as_json()))}\n")
    return "".join([*lines, _END])


def changes_script(holder: Holder, comparison: Comparison) -> str:
    """Return the commands for what is missing, wrong or extra, commented.

    What deletes an extra one is a comment: others may use what is not needed here.
    """
    return "".join(_changes(holder, comparison))


def _changes(holder: Holder, comparison: Comparison) -> Iterator[str]:
    if comparison.missing or comparison.wrong:
        yield _BEGIN
    for credential in comparison.missing:
        yield f"# missing: {credential.subject}\n{wrapped(create(holder, credential))}"
    for wrong in comparison.wrong:
        yield f"# wrong: {wrong.existing.name}: {wrong.because}\n"
        if wrong.differs_in_case_only:
            # Editing has not helped, creating again has: https://github.com/Redth/mobile-canvas-ghcp/pull/50. No token
            # matches it as it is, so nobody else uses it.
            yield wrapped(delete(holder, wrong.existing.name)) + wrapped(create(holder, wrong.replacement))
        else:
            yield wrapped(_replace(holder, wrong.replacement))
    if comparison.missing or comparison.wrong:
        yield _END
    for each in comparison.flexible:
        shown = excerpt(each.expression, longest=LONGEST_EXCERPT) if each.expression else "no expression is listed"
        yield f"# matches by an expression, left as it is: {each.name}: {shown}\n"
    for each in comparison.extra:
        yield f"# extra, unless others use it: {each.name}: {each.subject} of {each.issuer}\n"
        yield wrapped(delete(holder, each.name), prefix="# ")


def other_tenant_script(application: Application) -> str:
    """Return the commands that make the application known in the other tenant, by an administrator of that tenant."""
    login = ["az", "login", "--tenant", application.tenant_id or "OTHER_TENANT", "--allow-no-subscriptions"]
    return wrapped(login) + wrapped(["az", "ad", "sp", "create", "--id", application.client_id])


def create(holder: Holder, credential: FederatedIdentityCredential) -> list[str]:
    """Return the command that creates a credential.

    On a managed identity, it replaces the one of the same name; on an application, it fails if there is one.
    """
    if isinstance(holder, Application):
        return [*_command(holder, "create"), "--parameters", json.dumps(credential.as_json())]
    return [*_command(holder, "create", *options(name=credential.name)), *_values(credential)]


def _replace(holder: Holder, credential: FederatedIdentityCredential) -> list[str]:
    """Return the command that replaces the credential of the same name."""
    if isinstance(holder, IdentityResource):
        return create(holder, credential)
    name = options(federated_credential_id=credential.name)
    return [*_command(holder, "update"), *name, "--parameters", json.dumps(credential.as_json())]


def delete(holder: Holder, name: str) -> list[str]:
    """Return the command that deletes a credential."""
    if isinstance(holder, Application):
        return [*_command(holder, "delete"), *options(federated_credential_id=name)]
    return _command(holder, "delete", "--yes", *options(name=name))


def create_identity(identity: IdentityResource) -> list[str]:
    """Return the command that creates a managed identity, or leaves the one of that name as it is."""
    return ["az", "identity", "create", *_where(identity)]


def _command(holder: Holder, verb: str, *first: str) -> list[str]:
    if isinstance(holder, Application):
        return ["az", "ad", "app", "federated-credential", verb, "--id", holder.client_id]
    return ["az", "identity", "federated-credential", verb, *first, *link_options(holder)]


def link_options(holder: Holder) -> list[str]:
    """Return the options that name a holder to ``airflow-azure-wi link``, and an identity to the Azure CLI too."""
    if isinstance(holder, Application):
        return options(application=holder.client_id, tenant=holder.tenant_id)
    return options(identity_name=holder.name, resource_group=holder.resource_group, subscription=holder.subscription_id)


def _show(identity: IdentityResource, *output: str) -> list[str]:
    return ["az", "identity", "show", *_where(identity), *output]


def _where(identity: IdentityResource) -> list[str]:
    return options(name=identity.name, resource_group=identity.resource_group, subscription=identity.subscription_id)


def _values(credential: FederatedIdentityCredential) -> list[str]:
    return options(issuer=credential.issuer, subject=credential.subject, audiences=credential.audience)


def options(**values: str | None) -> list[str]:
    """Return options with their values, without those that are None.

    They are joined where argparse, and so the Azure CLI, would take the value for another option.
    """
    given = [(f"--{name.replace('_', '-')}", value) for name, value in values.items() if value is not None]
    return [part for name, value in given for part in ([f"{name}={value}"] if value[:1] == "-" else [name, value])]


def wrapped(arguments: Sequence[str], *, prefix: str = "") -> str:
    """Return a command as lines for a shell, broken before options.

    :param prefix: what each line begins with, such as ``# `` for a command in a comment.
    """
    lines: list[str] = []
    line = ""
    for group in _groups(arguments):
        if line and len(f"{prefix}{line} {group} \\") > _WIDTH:
            lines.append(f"{line} \\")
            line = f"    {group}"
        else:
            line = f"{line} {group}" if line else group
    return "".join(f"{prefix}{each}\n" for each in [*lines, line])


def _groups(arguments: Sequence[str]) -> Iterator[str]:
    """Return the command, and each option with its value, quoted."""
    group: list[str] = []
    for argument in arguments:
        # A value may begin with a dash too; the names of options are ours.
        if _OPTION.fullmatch(argument) and group:
            yield shlex.join(group)
            group = []
        group.append(argument)
    yield shlex.join(group)


_FIND = """\
FOUND=$({list_identities} | tr -d '\\r')
if [ -n "$FOUND" ]; then
{create}
else
    echo "No managed identity has the client id {client_id} in {where}." >&2
    echo "{hint}" >&2
    echo {application} >&2
fi"""

_ACTIVE = "subscription $(az account show --query name --output tsv | tr -d '\\r')"
_SWITCH = "If it is in another, switch to that first: az account set --subscription NAME"
_CORRECT = "If it is in another, run this with that one as --subscription."


def command_to_accept(
    token: FederatedToken, identity: WorkloadIdentity, *, resource: IdentityResource | None = None, may_exist: bool
) -> str | None:
    """Return the command that makes Entra accept a workload's federated token, or None where no credential could.

    :param resource: where the identity is found in Azure, if that is known.
    :param may_exist: as for :func:`link_command`.
    """
    audience = audience_to_expect(token.audience, identity.cloud.token_exchange_audience)
    credential = FederatedIdentityCredential.of(token.issuer, token.subject, audience or "")
    if any(credential.problems()):
        return None
    return link_command(
        credential,
        client_id=identity.client_id,
        resource=resource,
        subscription_id=identity.subscription_id,
        may_exist=may_exist,
    )


def link_command(
    credential: FederatedIdentityCredential,
    *,
    client_id: str,
    resource: IdentityResource | None = None,
    subscription_id: str | None = None,
    may_exist: bool = False,
) -> str:
    """Return commands for sh that link a workload which knows only its identity's client id.

    They create a federated identity credential, or replace the one of the same name.

    :param client_id: a GUID; the identity is looked up by it where ``resource`` does not say where it is.
    :param subscription_id: the subscription to look in, or None for the one that the Azure CLI is set to.
    :param may_exist: whether the identity may have one for this issuer and subject already, by any name: Azure refuses
        another, so that one is replaced.
    """
    subscription = (resource.subscription_id if resource else None) or subscription_id
    in_subscription = shlex.join(options(subscription=subscription))
    if resource is not None:
        where = shlex.join(link_options(replace(resource, subscription_id=subscription)))
        return _create_or_replace(credential, where, may_exist=may_exist)
    where_found = f'--identity-name "${{FOUND% *}}" --resource-group "${{FOUND#* }}" {in_subscription}'.strip()
    query = f"[?clientId=='{client_id}'].join(' ', [name, resourceGroup])"
    lines = _create_or_replace(credential, where_found, may_exist=may_exist).splitlines()
    return _FIND.format(
        list_identities=f'az identity list {in_subscription} --query "{query}" --output tsv'.replace("  ", " "),
        create="\n".join(f"    {line}" for line in lines),
        client_id=client_id,
        where=f"subscription {subscription}" if subscription else _ACTIVE,
        hint=_CORRECT if subscription else _SWITCH,
        application=shlex.quote(f"If it is an application: {_link_application(client_id, credential)}"),
    )


def _link_application(client_id: str, credential: FederatedIdentityCredential) -> str:
    """Return the command that links an application, which no list of managed identities has."""
    is_usual = credential.audience == PUBLIC.token_exchange_audience
    named = options(
        application=client_id,
        issuer=credential.issuer,
        subject=credential.subject,
        audience=None if is_usual else credential.audience,
    )
    return f"{shlex.join(['airflow-azure-wi', 'link', *named])} | sh"


def _create_or_replace(credential: FederatedIdentityCredential, where: str, *, may_exist: bool) -> str:
    values = shlex.join(_values(credential))
    if not may_exist:
        return f"az identity federated-credential create {where} {shlex.join(options(name=credential.name))} {values}"
    query = f"[?issuer=={_raw(credential.issuer)} && subject=={_raw(credential.subject)}].name"
    return (
        f"NAME=$(az identity federated-credential list {where} --query {shlex.quote(query)} --output tsv "
        "| tr -d '\\r')\n"
        f'[ -n "$NAME" ] || NAME={shlex.quote(credential.name)}\n'
        f'az identity federated-credential create {where} --name="$NAME" {values}'
    )


def _raw(value: str) -> str:
    """Return a raw string of JMESPath: https://jmespath.org/specification.html#raw-string-literals."""
    return "'" + value.replace("'", "\\'") + "'"


@dataclass(frozen=True)
class Cluster:
    """Where an AKS cluster is found in Azure. By default its names are to be replaced by the user."""

    name: str = "the-name-of-the-cluster"
    resource_group: str = "the-resource-group-of-the-cluster"


# https://learn.microsoft.com/azure/aks/identity-bindings-concepts, https://learn.microsoft.com/azure/aks/identity-bindings
# and https://learn.microsoft.com/cli/azure/aks/identity-binding
_BINDING = """\
# Binds the {title} to an AKS cluster, and lets the service accounts below use it. Run it once for
# each cluster, with kubectl set to it. AKS keeps one federated identity credential on the identity for all of them.
(
set -e
ID=$({show_id} | tr -d '\\r')
CLIENT_ID=$({show_client_id} | tr -d '\\r')
{create} \\
    --managed-identity-resource-id "$ID" --output none
kubectl apply -f - <<EOF
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: use-managed-identity-$CLIENT_ID
rules:
  - verbs: ["use-managed-identity"]
    apiGroups: ["cid.wi.aks.azure.com"]
    resources: ["$CLIENT_ID"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: use-managed-identity-$CLIENT_ID
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: use-managed-identity-$CLIENT_ID
subjects:
{subjects}
EOF
)
# Then give Airflow's pods the label azure.workload.identity/use: "true" and the annotation
# azure.workload.identity/use-identity-binding: "true" (with the official Helm chart: airflowPodAnnotations),
# azure-identity 1.27 or later, and the option AIRFLOW__AZURE_WORKLOAD_IDENTITY__IDENTITY_BINDING=True."""


def binding_script(identity: IdentityResource, deployments: Sequence[Workloads], cluster: Cluster) -> str:
    """Return commands that make an AKS identity binding: one credential for any number of service accounts."""
    bind = ["az", "aks", "identity-binding", "create", "--name", identity.name.lower()]
    bind += ["--cluster-name", cluster.name, "--resource-group", cluster.resource_group]
    accounts = dict.fromkeys(account for deployment in deployments for account in deployment.service_accounts())
    return _BINDING.format(
        title=identity.title,
        show_id=shlex.join(_show(identity, "--query", "id", "--output", "tsv")),
        show_client_id=shlex.join(_show(identity, "--query", "clientId", "--output", "tsv")),
        create=wrapped(bind).rstrip("\n"),
        subjects="\n".join(
            f"  - kind: ServiceAccount\n    namespace: {namespace}\n    name: {name}" for namespace, name in accounts
        ),
    )
