"""Single commands of the Azure CLI, as lists of arguments, and as text for bash."""

import json
import shlex

from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, IdentityResource


def create(identity: IdentityResource, credential: FederatedIdentityCredential) -> list[str]:
    """Return the command that creates a credential, or replaces the one of the same name."""
    return [
        *("az", "identity", "federated-credential", "create"),
        *("--name", credential.name),
        *_on(identity),
        *_values(credential),
    ]


def create_identity(identity: IdentityResource) -> list[str]:
    """Return the command that creates a managed identity, or leaves the one of that name as it is."""
    return [
        *("az", "identity", "create", "--name", identity.name, "--resource-group", identity.resource_group),
        *_in(identity),
    ]


def delete(identity: IdentityResource, name: str) -> list[str]:
    """Return the command that deletes a credential."""
    return ["az", "identity", "federated-credential", "delete", "--yes", "--name", name, *_on(identity)]


def create_for_client(client_id: str, credential: FederatedIdentityCredential) -> str:
    """Return a command for bash that creates a credential on an identity of which only the client id is known.

    :param client_id: a GUID; a workload knows no more of its identity.
    """
    found = f"az identity list --query \"[?clientId=='{client_id}'].[name,resourceGroup]\" --output tsv"
    arguments = shlex.join(["--name", credential.name, *_values(credential)])
    return (
        f"IFS=$'\\t' read -r IDENTITY GROUP < <({found}) &&\n"
        f'az identity federated-credential create --identity-name "$IDENTITY" --resource-group "$GROUP" {arguments}'
    )


def create_for_application(client_id: str, credential: FederatedIdentityCredential) -> str:
    """Return a command for bash that creates a credential on an application.

    :param client_id: a GUID.
    """
    parameters = {
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "audiences": [credential.audience],
    }
    return shlex.join(
        [
            *("az", "ad", "app", "federated-credential", "create"),
            *("--id", client_id, "--parameters", json.dumps(parameters)),
        ]
    )


def _on(identity: IdentityResource) -> list[str]:
    return ["--identity-name", identity.name, "--resource-group", identity.resource_group, *_in(identity)]


def _in(identity: IdentityResource) -> list[str]:
    return ["--subscription", identity.subscription_id] if identity.subscription_id else []


def _values(credential: FederatedIdentityCredential) -> list[str]:
    return ["--issuer", credential.issuer, "--subject", credential.subject, "--audiences", credential.audience]
