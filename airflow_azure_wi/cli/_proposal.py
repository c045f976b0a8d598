"""What ``link`` prints where one identity cannot hold all credentials: the ways out, with their commands."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.cli.command import PROGRAM
from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.federation import bindings, changes_script, commands
from airflow_azure_wi.federation.comparison import Comparison
from airflow_azure_wi.federation.credentials import Application, Holder, IdentityResource
from airflow_azure_wi.federation.quota import Quota, Share, deletable, split
from airflow_azure_wi.federation.workloads import Workloads


@dataclass(frozen=True)
class Proposal:
    """More workloads than an identity can hold credentials.

    :param comparison: with what is there, or None where that is not known.
    """

    holder: Holder
    deployments: Sequence[Workloads]
    quota: Quota
    comparison: Comparison | None

    def show(self) -> None:
        """Print it to standard error, so that no shell runs it by mistake."""
        print("\n".join(self._lines()), file=sys.stderr)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        shown: dict[str, Any] = {
            "identities": [
                {
                    "identity": share.holder.as_json(),
                    "deployments": [deployment.title for deployment in share.deployments],
                    "commands": self._commands(share),
                }
                for share in self._shares()
            ],
        }
        if isinstance(self.holder, IdentityResource):
            shown["identityBinding"] = bindings.script(self.holder, self.deployments)
        if self.comparison is not None:
            shown["delete"] = [existing.name for existing in deletable(self.comparison, self.quota)]
        return shown

    def _shares(self) -> list[Share]:
        others = self.quota.used - sum(len(deployment.subjects) for deployment in self.deployments)
        return split(self.holder, self.deployments, others)

    def _lines(self) -> Iterator[str]:
        yield (
            f"These workloads need {self.quota.used} federated identity credentials; the {self.holder.title} holds "
            f"{self.quota.limit}."
        )
        yield ""
        if self.comparison is not None:
            yield from self._compared(self.comparison)
        shares = self._shares()
        one, many = (
            ("application", "applications") if isinstance(self.holder, Application) else ("identity", "identities")
        )
        if len(shares) == 1:
            yield f"Or give them an {one} of their own, with a connection and role assignments:"
        else:
            yield f"Split them over {len(shares)} {many}, with a connection and role assignments each:"
        yield ""
        for share in shares:
            yield f"# {', '.join(deployment.title for deployment in share.deployments)}"
            yield from self._commands(share)
            yield ""
        if isinstance(self.holder, IdentityResource):
            yield "Or, on AKS, bind one identity to any number of clusters:"
            yield ""
            yield bindings.script(self.holder, self.deployments)

    def _compared(self, comparison: Comparison) -> Iterator[str]:
        if enough := deletable(comparison, self.quota):
            fit = "1 extra one is" if len(enough) == 1 else f"{len(enough)} extra ones are"
            yield f"They fit once {fit} deleted, if no other workload uses {'it' if len(enough) == 1 else 'them'}:"
            yield ""
            yield from (shlex.join(commands.delete(self.holder, existing.name)) for existing in enough)
            yield ""
        yield "Compared with what is there:"
        yield ""
        yield changes_script.render(self.holder, comparison)

    def _commands(self, share: Share) -> list[str]:
        where = _arguments_of(share.holder)
        audience = share.deployments[0].audience
        if audience != PUBLIC.token_exchange_audience:
            where += commands.option("--audience", audience)
        given = [argument for deployment in share.deployments for argument in deployment.given_as]
        issuers = [deployment.issuer for deployment in share.deployments]
        issuers = issuers[:1] if len(set(issuers)) == 1 else issuers
        named = [argument for issuer in issuers for argument in ("--issuer", issuer)]
        create = []
        if isinstance(share.holder, IdentityResource) and share.holder != self.holder:
            create.append(shlex.join(commands.create_identity(share.holder)))
        return [*create, f"{shlex.join([PROGRAM, 'link', *where, *named, *given])} | sh"]


def _arguments_of(holder: Holder) -> list[str]:
    """Return the arguments that name an identity or an application on the command line."""
    if isinstance(holder, Application):
        tenant = commands.option("--tenant", holder.tenant_id) if holder.tenant_id else []
        return ["--application", holder.client_id, *tenant]
    where = [
        *commands.option("--identity-name", holder.name),
        *commands.option("--resource-group", holder.resource_group),
    ]
    return [*where, *(commands.option("--subscription", holder.subscription_id) if holder.subscription_id else [])]
