"""What ``link`` prints where one identity cannot hold all credentials: the ways out, with their commands."""

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from airflow_azure_wi.cli.command import PROGRAM
from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.federation import bindings, commands
from airflow_azure_wi.federation.credentials import IdentityResource
from airflow_azure_wi.federation.quota import Quota, Share, split
from airflow_azure_wi.federation.workloads import Workloads


def show(identity: IdentityResource, deployments: Sequence[Workloads], quota: Quota, *, as_json: bool) -> None:
    """Print the proposal: JSON to standard output, text to standard error, so that no shell runs it by mistake."""
    others = quota.used - sum(len(deployment.subjects) for deployment in deployments)
    shares = split(identity, deployments, others)
    binding = bindings.script(identity, deployments)
    if as_json:
        print(json.dumps(_as_json(identity, shares, quota, binding), indent=2))
    else:
        print("\n".join(_lines(identity, shares, quota, binding)), file=sys.stderr)


def _as_json(identity: IdentityResource, shares: Sequence[Share], quota: Quota, binding: str) -> dict[str, Any]:
    return {
        "quota": {"used": quota.used, "limit": quota.limit, "moreDeployments": 0},
        "proposal": {
            "identities": [
                {
                    "identity": share.identity.as_json(),
                    "deployments": [deployment.title for deployment in share.deployments],
                    "commands": _commands(identity, share),
                }
                for share in shares
            ],
            "identityBinding": binding,
        },
    }


def _lines(identity: IdentityResource, shares: Sequence[Share], quota: Quota, binding: str) -> list[str]:
    lines = [
        f"These workloads need {quota.used} federated identity credentials; a managed identity holds {quota.limit}.",
        "",
        f"Either split them over {len(shares)} identities, with a connection and role assignments each:",
        "",
    ]
    for share in shares:
        lines += [f"# {', '.join(deployment.title for deployment in share.deployments)}"]
        lines += [*_commands(identity, share), ""]
    return [*lines, "Or, on AKS, bind one identity to any number of clusters:", "", binding]


def _commands(identity: IdentityResource, share: Share) -> list[str]:
    where = ["--identity-name", share.identity.name, "--resource-group", share.identity.resource_group]
    if share.identity.subscription_id:
        where += ["--subscription", share.identity.subscription_id]
    audience = share.deployments[0].audience
    if audience != PUBLIC.token_exchange_audience:
        where += ["--audience", audience]
    given = [argument for deployment in share.deployments for argument in deployment.given_as]
    issuers = [deployment.issuer for deployment in share.deployments]
    issuers = issuers[:1] if len(set(issuers)) == 1 else issuers
    named = [argument for issuer in issuers for argument in ("--issuer", issuer)]
    create = [] if share.identity == identity else [shlex.join(commands.create_identity(share.identity))]
    return [*create, f"{shlex.join([PROGRAM, 'link', *where, *named, *given])} | bash"]
