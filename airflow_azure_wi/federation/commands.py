"""Single commands of the Azure CLI, as lists of arguments, and as text for a shell."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from airflow_azure_wi.federation.credentials import (
    Application,
    FederatedIdentityCredential,
    Holder,
    IdentityResource,
)

_IDENTITY = ("az", "identity", "federated-credential")
_APPLICATION = ("az", "ad", "app", "federated-credential")
_OPTION = re.compile(r"--[a-z][a-z-]+")

# The parentheses let a shell read everything before it runs anything, and keep a failure from closing the terminal
# that the lines are pasted into.
BEGIN = "(\nset -e\n"
END = ")\n"

_WIDTH = 100


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


def create(holder: Holder, credential: FederatedIdentityCredential) -> list[str]:
    """Return the command that creates a credential.

    On a managed identity, it replaces the one of the same name; on an application, it fails if there is one.
    """
    if isinstance(holder, Application):
        return [*_APPLICATION, "create", "--id", holder.client_id, "--parameters", _parameters(credential)]
    return [*_IDENTITY, "create", *option("--name", credential.name), *_on(holder), *_values(credential)]


def replace(holder: Holder, credential: FederatedIdentityCredential) -> list[str]:
    """Return the command that replaces the credential of the same name."""
    if not isinstance(holder, Application):
        return create(holder, credential)
    return [
        *(*_APPLICATION, "update", "--id", holder.client_id),
        *(*option("--federated-credential-id", credential.name), "--parameters", _parameters(credential)),
    ]


def show(identity: IdentityResource, *options: str) -> list[str]:
    """Return the command that prints the identity.

    :param options: how to print it.
    """
    where = [*option("--name", identity.name), *option("--resource-group", identity.resource_group)]
    return ["az", "identity", "show", *where, *_in(identity), *options]


def show_credential(application: Application, name: str) -> list[str]:
    """Return the command that succeeds if an application has a credential of this name."""
    return [
        *(*_APPLICATION, "show", "--id", application.client_id),
        *(*option("--federated-credential-id", name), "--output", "none"),
    ]


def create_identity(identity: IdentityResource) -> list[str]:
    """Return the command that creates a managed identity, or leaves the one of that name as it is."""
    return [
        *("az", "identity", "create", *option("--name", identity.name)),
        *option("--resource-group", identity.resource_group),
        *_in(identity),
    ]


def delete(holder: Holder, name: str) -> list[str]:
    """Return the command that deletes a credential."""
    if isinstance(holder, Application):
        return [*_APPLICATION, "delete", "--id", holder.client_id, *option("--federated-credential-id", name)]
    return [*_IDENTITY, "delete", "--yes", *option("--name", name), *_on(holder)]


def _parameters(credential: FederatedIdentityCredential) -> str:
    return json.dumps(
        {
            "name": credential.name,
            "issuer": credential.issuer,
            "subject": credential.subject,
            "audiences": [credential.audience],
        }
    )


def _on(identity: IdentityResource) -> list[str]:
    return [
        *option("--identity-name", identity.name),
        *option("--resource-group", identity.resource_group),
        *_in(identity),
    ]


def _in(identity: IdentityResource) -> list[str]:
    return option("--subscription", identity.subscription_id) if identity.subscription_id else []


def _values(credential: FederatedIdentityCredential) -> list[str]:
    return [
        *option("--issuer", credential.issuer),
        *option("--subject", credential.subject),
        *option("--audiences", credential.audience),
    ]


def option(name: str, value: str) -> list[str]:
    """Return an option with its value: joined, where argparse would take the value for another option."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]
