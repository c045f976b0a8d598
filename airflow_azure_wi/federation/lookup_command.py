"""The command that links a workload to an identity of which the workload knows only the client id.

It runs in plain sh and is pasted into a terminal: no tabs, no history expansion, and nothing that ends the shell. The
Azure CLI of Windows ends its lines with ``\\r``, also in Git Bash and WSL.
"""

import shlex
from collections.abc import Sequence

from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.federation.commands import option
from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, IdentityResource

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
_CORRECT = "If it is in another, run this with that one for --subscription."


def audience_to_expect(audiences: Sequence[str], expected: str) -> str | None:
    """Return the audience of a federated token that a credential may expect: never one of the API server.

    With that, every token that the cluster projects for its own API would sign in to Azure. Audiences of API servers
    are https URLs and plain names (``--api-audiences`` of kube-apiserver); those for Entra begin with ``api://``.

    :param expected: the audience of the cloud's token exchange.
    """
    if expected in audiences:
        return expected
    return next((each for each in audiences if each.startswith("api://")), None)


def link(
    credential: FederatedIdentityCredential,
    *,
    client_id: str,
    resource: IdentityResource | None = None,
    subscription_id: str | None = None,
    may_exist: bool = False,
) -> str:
    """Return commands for sh that create a federated identity credential, or replace the one of the same name.

    :param client_id: a GUID; the identity is looked up by it where ``resource`` does not say where it is.
    :param subscription_id: the subscription to look in, or None for the one that the Azure CLI is set to.
    :param may_exist: whether the identity may have one for this issuer and subject already, by any name: Azure refuses
        another, so that one is replaced.
    """
    subscription = (resource.subscription_id if resource else None) or subscription_id
    options = shlex.join(["--subscription", subscription]) if subscription else ""
    if resource is not None:
        where = shlex.join(
            [*option("--identity-name", resource.name), *option("--resource-group", resource.resource_group)]
        )
        return _create(credential, f"{where} {options}".strip(), may_exist=may_exist)
    where = f'--identity-name "${{FOUND% *}}" --resource-group "${{FOUND#* }}" {options}'.strip()
    query = f"[?clientId=='{client_id}'].join(' ', [name, resourceGroup])"
    create = _create(credential, where, may_exist=may_exist)
    return _FIND.format(
        list_identities=f'az identity list {options} --query "{query}" --output tsv'.replace("  ", " "),
        create="\n".join(f"    {line}" for line in create.splitlines()),
        client_id=client_id,
        where=f"subscription {subscription}" if subscription else _ACTIVE,
        hint=_CORRECT if subscription else _SWITCH,
        application=shlex.quote(f"If it is an application: {_link_application(client_id, credential)}"),
    )


def _link_application(client_id: str, credential: FederatedIdentityCredential) -> str:
    """Return the command that links an application, which no list of managed identities has."""
    is_usual = credential.audience == PUBLIC.token_exchange_audience
    named = [
        *option("--application", client_id),
        *option("--issuer", credential.issuer),
        *option("--subject", credential.subject),
        *([] if is_usual else option("--audience", credential.audience)),
    ]
    return f"{shlex.join(['airflow-azure-wi', 'link', *named])} | sh"


def _create(credential: FederatedIdentityCredential, where: str, *, may_exist: bool) -> str:
    values = [
        *option("--issuer", credential.issuer),
        *option("--subject", credential.subject),
        *option("--audiences", credential.audience),
    ]
    create = f"az identity federated-credential create {where}"
    if not may_exist:
        return f"{create} {shlex.join([*option('--name', credential.name), *values])}"
    query = f"[?issuer=={_raw(credential.issuer)} && subject=={_raw(credential.subject)}].name"
    return (
        f"NAME=$(az identity federated-credential list {where} --query {shlex.quote(query)} --output tsv "
        "| tr -d '\\r')\n"
        f'[ -n "$NAME" ] || NAME={shlex.quote(credential.name)}\n'
        f'{create} --name="$NAME" {shlex.join(values)}'
    )


def _raw(value: str) -> str:
    """Return a raw string of JMESPath: https://jmespath.org/specification.html#raw-string-literals."""
    return "'" + value.replace("'", "\\'") + "'"
