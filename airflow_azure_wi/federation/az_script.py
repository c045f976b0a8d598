"""A bash script around the Azure CLI that links workloads to a managed identity."""

import shlex
from collections.abc import Sequence

from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, IdentityResource

# Standard output is for the identity's JSON alone, so that it can be piped on; everything else is said on the other.
_TEMPLATE = """\
#!/usr/bin/env bash
# Links workloads to a managed identity. Safe to run again: what is linked already is left as it is.
set -euo pipefail

identity={identity}
group={group}
options=({options})

# What is there already: issuer, subject, audience and name, a line each.
existing=$(az identity federated-credential list --identity-name "$identity" --resource-group "$group" \\
    ${{options[@]+"${{options[@]}}"}} --query '[].[issuer,subject,audiences[0],name]' --output tsv </dev/null)
existing=${{existing//$'\\r'/}}

link() {{
    local name=$1 issuer=$2 subject=$3 audience=$4 old_issuer old_subject old_audience old_name
    while IFS=$'\\t' read -r old_issuer old_subject old_audience old_name; do
        if [[ $old_issuer == "$issuer" && $old_subject == "$subject" ]]; then
            if [[ $old_audience == "$audience" ]]; then
                echo "Linked already, by $old_name: $subject" >&2
                return
            fi
            # Issuer and subject are unique on an identity, so this one is replaced.
            name=$old_name
        fi
    done <<<"$existing"
    echo "Linking, as $name: $subject" >&2
    az identity federated-credential create --name "$name" --identity-name "$identity" --resource-group "$group" \\
        ${{options[@]+"${{options[@]}}"}} --issuer "$issuer" --subject "$subject" --audiences "$audience" \\
        --output none </dev/null
}}

# One after the other: Azure refuses writes to one identity that overlap (409).
{links}

echo "Done. It takes a few minutes until Microsoft Entra ID accepts the tokens of newly linked workloads." >&2
az identity show --name "$identity" --resource-group "$group" ${{options[@]+"${{options[@]}}"}} --output json </dev/null
"""


def render(identity: IdentityResource, credentials: Sequence[FederatedIdentityCredential]) -> str:
    """Return the script. It needs bash 3.2, which macOS has, or later."""
    options = ["--subscription", identity.subscription_id] if identity.subscription_id else []
    return _TEMPLATE.format(
        identity=shlex.quote(identity.name),
        group=shlex.quote(identity.resource_group),
        options=shlex.join(options),
        links="\n".join(map(_link, credentials)),
    )


def _link(credential: FederatedIdentityCredential) -> str:
    values = [credential.name, credential.issuer, credential.subject, credential.audience]
    return shlex.join(["link", *values])
