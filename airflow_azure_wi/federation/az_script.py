"""The link as plain commands of the Azure CLI, for any shell."""

import json
import shlex
from collections.abc import Iterator, Sequence

from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.credentials import Application, FederatedIdentityCredential, Holder


def render(holder: Holder, credentials: Sequence[FederatedIdentityCredential]) -> str:
    """Return the commands, one after the other: Azure refuses writes to one identity that overlap (HTTP 409).

    Only the last prints to standard output: JSON that names client id and tenant, so that it can be piped on.
    """
    return "".join(_parts(holder, credentials))


def _parts(holder: Holder, credentials: Sequence[FederatedIdentityCredential]) -> Iterator[str]:
    count = "1 workload" if len(credentials) == 1 else f"{len(credentials)} workloads"
    yield f"# Links {count} to the {holder.title}. Running it again changes nothing.\n{commands.BEGIN}"
    if isinstance(holder, Application):
        yield from _for_application(holder, credentials)
    else:
        for credential in credentials:
            yield commands.wrapped([*commands.create(holder, credential), "--output", "none"])
        yield commands.wrapped(commands.show(holder, "--output", "json"))
    yield commands.END


def _for_application(application: Application, credentials: Sequence[FederatedIdentityCredential]) -> Iterator[str]:
    for credential in credentials:
        # Microsoft Graph creates no second one of the same name, so it is looked for first:
        # https://learn.microsoft.com/graph/api/application-post-federatedidentitycredentials
        looked_for = commands.wrapped(commands.show_credential(application, credential.name)).rstrip("\n")
        yield f"{looked_for} 2>/dev/null ||\n"
        yield commands.wrapped([*commands.create(application, credential), "--output", "none"])
    if application.tenant_id is not None:
        connection = {"clientId": application.client_id, "tenantId": application.tenant_id}
        # Not echo, which reads backslashes in some shells.
        yield f"printf '%s\\n' {shlex.quote(json.dumps(connection))}\n"


def other_tenant(application: Application) -> str:
    """Return the commands that make the application known in the other tenant, by an administrator of that tenant."""
    tenant = application.tenant_id or "OTHER_TENANT"
    login = ["az", "login", "--tenant", tenant, "--allow-no-subscriptions"]
    return commands.wrapped(login) + commands.wrapped(["az", "ad", "sp", "create", "--id", application.client_id])
