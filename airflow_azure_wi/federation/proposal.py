"""What ``link`` does, from plain values: the command line and the page in Airflow ask for them and show the result."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_azure_wi.clouds import PUBLIC, Cloud
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import FederatedTokenError, FederationError, Problem
from airflow_azure_wi.federation import (
    Application,
    FederatedIdentityCredential,
    Holder,
    IdentityResource,
    az,
    issuer_of,
    templates,
)
from airflow_azure_wi.federation.comparison import Comparison, Existing, compare
from airflow_azure_wi.federation.workloads import COMMAND_LINE, Wording, Workloads
from airflow_azure_wi.redaction import quoted
from airflow_azure_wi.tokens import FederatedToken, read_federated_token

FORMATS = ("az", "terraform", "bicep", "json")

# https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
MOST_CREDENTIALS = 20

# https://learn.microsoft.com/graph/templates/how-to-reference-existing-resources
NO_BICEP = (
    "Bicep finds an application only by its uniqueName, which those made with the portal or the Azure CLI do not have"
)


def propose(
    holder: Holder,
    deployments: Sequence[Workloads] = (),
    issuers: Sequence[str] = (),
    *,
    cloud: Cloud = PUBLIC,
    audience: str | None = None,
    wording: Wording = COMMAND_LINE,
    problems: Sequence[Problem] = (),
) -> "Proposal":
    """Return the federated identity credentials that link deployments to an identity.

    :param deployments: from the functions of ``workloads``; if empty, the workload that this runs in.
    :param issuers: one for all deployments, or one for each; if empty, that of this workload's federated token.
    :param audience: that of the projected tokens, if it is not the cloud's.
    :param problems: what is already known to be wrong, to be raised with the rest.
    :raises FederationError: if anything is wrong; ``by_field`` has all of it.
    """
    found = [*holder.problems(), *problems]
    complete = complete_deployments(deployments, issuers, wording=wording, problems=found)
    audience = audience or cloud.token_exchange_audience
    complete = [replace(deployment, audience=audience) for deployment in complete]
    found += [problem for deployment in complete for each in deployment.credentials() for problem in each.problems()]
    if found:
        raise FederationError(found)
    notes = [*notes_of(complete), *_notes_of_issuers(issuers)]
    return Proposal(holder, tuple(complete), cloud, tuple(notes), wording)


def complete_deployments(
    deployments: Sequence[Workloads],
    issuers: Sequence[str],
    *,
    wording: Wording = COMMAND_LINE,
    problems: list[Problem],
) -> list[Workloads]:
    """Return the deployments, each workload once, with their issuers.

    :param problems: what is wrong is added to it; what is returned is incomplete then.
    """
    if not deployments:
        return _this_workload(issuers, wording, problems)
    deployments = _merged(deployments)
    problems += [problem for deployment in deployments for problem in deployment.problems]
    issuers = issuers or _own_issuer(wording, problems)
    if len(issuers) not in (0, 1, len(deployments)):
        problem = (
            f"{len(issuers)} issuers are given for {len(deployments)} deployments: give one for all, or one for each "
            "in the same order"
        )
        problems.append(("issuer", problem))
    issuers = issuers if len(issuers) > 1 else [*issuers] * len(deployments)
    seen: set[tuple[str, str]] = set()
    unique = []
    for deployment, issuer in zip(deployments, map(issuer_of, issuers), strict=False):
        subjects = tuple(each for each in dict.fromkeys(deployment.subjects) if (issuer, each) not in seen)
        seen |= {(issuer, subject) for subject in subjects}
        if subjects:
            unique.append(replace(deployment, issuer=issuer, subjects=subjects))
    return unique


def _merged(deployments: Sequence[Workloads]) -> list[Workloads]:
    """Put the service accounts of a namespace together: they are one deployment.

    A release or an Astro deployment that is named twice stays two: it may be on two clusters.
    """
    merged: dict[str | int, Workloads] = {}
    for number, deployment in enumerate(deployments):
        key = deployment.title if deployment.is_accounts else number
        merged[key] = merged[key].with_more(deployment) if key in merged else deployment
    return list(merged.values())


def _own_issuer(wording: Wording, problems: list[Problem]) -> list[str]:
    try:
        return [own_token().issuer]
    except FederatedTokenError:
        problem = (
            f"The issuer is missing: add {wording.issuer}, the cluster's OIDC issuer (on AKS: `az aks show --query "
            "oidcIssuerProfile.issuerUrl`), or run this inside a workload, whose federated token names it"
        )
        problems.append(("issuer", problem))
        return []


def own_token() -> FederatedToken:
    """Return the federated token of the workload that this runs in.

    :raises FederatedTokenError: if there is none.
    :raises DeploymentError: if the environment does not say where it is.
    """
    deployment = Deployment.of(os.environ)
    return read_federated_token(deployment.token_file, named_by=deployment.token_file_named_by)


def notes_of(deployments: Sequence[Workloads]) -> Iterator[str]:
    """Say how the service accounts of deployments were found."""
    for deployment in deployments:
        if deployment.notes:
            yield f"{deployment.title}:"
            yield from (f"  {note}" for note in deployment.notes)


def _notes_of_issuers(issuers: Sequence[str]) -> Iterator[str]:
    for issuer in dict.fromkeys(issuers):
        if issuer_of(issuer) != issuer:
            yield (
                f"The issuer is {quoted(issuer_of(issuer))}: the path of its OpenID configuration was removed. Check "
                'that "issuer" in that document is exactly the same.'
            )


def _this_workload(issuers: Sequence[str], wording: Wording, problems: list[Problem]) -> list[Workloads]:
    try:
        token = own_token()
    except FederatedTokenError as error:
        problem = (
            f"No deployment is given: add {wording.deployment}, and {wording.issuer}. This does not run inside a "
            f"workload either: {error}"
        )
        problems.append(("deployment", problem))
        return []
    issuer = issuer_of(issuers[0]) if issuers else token.issuer
    return [Workloads("this workload", (token.subject,), issuer=issuer)]


@dataclass(frozen=True)
class Quota:
    """How many credentials an identity holds, once its workloads are linked.

    :param used: the credentials of these workloads, and others that the identity is known to hold.
    :param per_deployment: how many the largest of these deployments needs.
    """

    used: int
    per_deployment: int

    limit: int = MOST_CREDENTIALS

    @property
    def is_exceeded(self) -> bool:
        """Whether Azure would refuse the last of them."""
        return self.used > self.limit

    @property
    def more_deployments(self) -> int:
        """How many more deployments of the same size fit."""
        return max(self.limit - self.used, 0) // max(self.per_deployment, 1)

    def summary(self) -> str:
        """Return one line that says so."""
        more = {0: "no further deployment", 1: "1 more deployment"}.get(
            self.more_deployments, f"{self.more_deployments} more deployments"
        )
        return (
            f"{self.used} of {self.limit} federated identity credentials of the identity are used; "
            f"{more} of {self.per_deployment} {'workload' if self.per_deployment == 1 else 'workloads'} would fit."
        )


@dataclass(frozen=True)
class Proposal:
    """Credentials that link deployments to an identity, and everything that is said and printed about them.

    :param notes: how the service accounts were found, and what was changed in what was given, a line each.
    :param comparison: with what is there, or None where that is not known.
    """

    holder: Holder
    deployments: tuple[Workloads, ...]
    cloud: Cloud = PUBLIC
    notes: tuple[str, ...] = ()
    wording: Wording = COMMAND_LINE
    comparison: Comparison | None = None

    @property
    def credentials(self) -> tuple[FederatedIdentityCredential, ...]:
        """The credentials, in the order of the deployments."""
        return tuple(credential for deployment in self.deployments for credential in deployment.credentials())

    @property
    def quota(self) -> Quota:
        """How many of the credentials that an identity can hold are used then."""
        sizes = [len(deployment.subjects) for deployment in self.deployments]
        return Quota(sum(sizes) + (self.comparison.others if self.comparison else 0), max(sizes, default=0))

    def compared_with(self, existing: Sequence[Existing]) -> "Proposal":
        """Return the same, with what the identity holds known: then only what differs has to be done."""
        return replace(self, comparison=compare(self.credentials, existing))

    def render(self, output_format: str) -> str:
        """Return it in one of ``FORMATS``.

        :raises FederationError: if there is no such form of it.
        """
        if output_format == "json":
            return json.dumps(self.as_json(), indent=2) + "\n"
        if output_format == "az":
            if self.comparison is None:
                return az.link_script(self.holder, self.credentials)
            return "" if self.comparison.is_clean else az.changes_script(self.holder, self.comparison)
        credentials, existing = self.credentials, {}
        if self.comparison:
            credentials = self.comparison.under_existing_names(credentials)
            existing = self.comparison.existing()
        if output_format == "terraform":
            return templates.terraform(self.holder, credentials, existing)
        if isinstance(self.holder, IdentityResource):
            return templates.bicep(self.holder, credentials, existing)
        raise FederationError([("format", f"{NO_BICEP}: use Terraform or the Azure CLI")])

    def outlook(self, output_format: str = "az") -> Iterator[str]:
        """Say what to know and do next, a line each."""
        yield self._summary()
        if self.comparison is None:
            yield (
                "New credentials take a few minutes to work. If Azure says that issuer and subject already exist, "
                f"{self.wording.check} shows under which name."
            )
        if isinstance(self.holder, Application):
            if self.comparison is None and output_format == "az":
                yield (
                    "A credential that already has one of these names is left as it is; "
                    f"{self.wording.check} compares it."
                )
            yield "Once, as an administrator of the other tenant:"
            yield from (f"  {line}" for line in az.other_tenant_script(self.holder).splitlines())
        if self.cloud != PUBLIC:
            yield f"To point the Azure CLI at {self.cloud.name}: az cloud set --name {self.cloud.cli_name}"

    def _summary(self) -> str:
        if self.comparison is None:
            counted = f"Other credentials of the identity are not counted; {self.wording.check} counts them."
            return f"{self.quota.summary()} {counted}"
        if self.comparison.is_clean:
            return f"Nothing is missing, wrong or extra. {self.quota.summary()}"
        counts = {name: len(getattr(self.comparison, name)) for name in ("missing", "wrong", "extra")}
        return f"{', '.join(f'{count} {what}' for what, count in counts.items())}. {self.quota.summary()}"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; where it does not fit, with the ways out as ``proposal``."""
        quota = self.quota
        shown: dict[str, Any] = {
            "application" if isinstance(self.holder, Application) else "identity": self.holder.as_json(),
            "deployments": [
                {
                    "title": deployment.title,
                    "credentials": [credential.as_json() for credential in deployment.credentials()],
                    **({"notes": list(deployment.notes)} if deployment.notes else {}),
                }
                for deployment in self.deployments
            ],
            "quota": {"used": quota.used, "limit": quota.limit, "moreDeployments": quota.more_deployments},
        }
        if comparison := self.comparison:
            shown["missing"] = [credential.as_json() for credential in comparison.missing]
            shown["wrong"] = [each.replacement.as_json() | {"because": each.because} for each in comparison.wrong]
            shown["extra"] = [existing.as_json() for existing in comparison.extra]
            shown["flexible"] = [existing.as_json() for existing in comparison.flexible]
        return shown | ({"proposal": self._ways_out()} if quota.is_exceeded else {})

    def _ways_out(self) -> dict[str, Any]:
        """Return what to do where one identity cannot hold all credentials, for programs."""
        found: dict[str, Any] = {
            "identities": [
                {
                    "identity": holder.as_json(),
                    "deployments": [deployment.title for deployment in deployments],
                    "commands": self._commands(holder, deployments),
                }
                for holder, deployments in self.split()
            ],
        }
        if isinstance(self.holder, IdentityResource):
            found["identityBinding"] = az.binding_script(self.holder, self.deployments, az.Cluster())
        if self.comparison:
            found["delete"] = [existing.name for existing in self.deletable()]
        return found

    def ways_out(self) -> Iterator[str]:
        """Return what to do where one identity cannot hold all credentials, as lines of text and commands."""
        found = self._ways_out()
        yield (
            f"These workloads need {self.quota.used} federated identity credentials; the {self.holder.title} holds "
            f"{self.quota.limit}."
        )
        yield ""
        if enough := found.get("delete"):
            is_one = len(enough) == 1
            fit, them = ("1 extra credential is", "it") if is_one else (f"{len(enough)} extra credentials are", "them")
            yield f"They fit once {fit} deleted, if no other workload uses {them}:"
            yield from ("", *(shlex.join(az.delete(self.holder, name)) for name in enough), "")
        if self.comparison:
            yield from ("Compared with what is there:", "", az.changes_script(self.holder, self.comparison))
        shares = found["identities"]
        one, many = (
            ("application", "applications") if isinstance(self.holder, Application) else ("identity", "identities")
        )
        if len(shares) == 1:
            yield f"Or give them an {one} of their own, with its own connection and role assignments:"
        else:
            yield f"Split them over {len(shares)} {many}, each with its own connection and role assignments:"
        yield ""
        for share in shares:
            yield from (f"# {', '.join(share['deployments'])}", *share["commands"], "")
        if binding := found.get("identityBinding"):
            yield from ("Or, on AKS, bind one identity to any number of clusters:", "", binding)

    def split(self) -> list[tuple[Holder, tuple[Workloads, ...]]]:
        """Divide the deployments over as few identities as their order allows, each whole where it fits."""
        most = MOST_CREDENTIALS
        pieces = [
            deployment.part(start, most)
            for deployment in self.deployments
            for start in range(0, len(deployment.subjects), most)
        ]
        room = most - (self.comparison.others if self.comparison else 0)
        parts: list[list[Workloads]] = [[]]
        for piece in pieces:
            if len(piece.subjects) > room:
                parts.append([])
                room = most
            parts[-1].append(piece)
            room -= len(piece.subjects)
        return [(_numbered(self.holder, number), tuple(part)) for number, part in enumerate(parts, 1) if part]

    def deletable(self) -> tuple[Existing, ...]:
        """Return the extra credentials whose deletion would bring the identity within its limit, or nothing.

        Those of the issuers that are being linked come first: they are of service accounts that are no longer there.
        """
        extra = self.comparison.extra if self.comparison else ()
        issuers = {deployment.issuer for deployment in self.deployments}
        candidates = sorted(extra, key=lambda existing: existing.issuer not in issuers)
        needed = self.quota.used - MOST_CREDENTIALS
        return tuple(candidates[:needed]) if 0 < needed <= len(candidates) else ()

    def _commands(self, holder: Holder, deployments: Sequence[Workloads]) -> list[str]:
        """Return the commands that link a share of the deployments."""
        where = az.link_options(holder)
        audience = deployments[0].audience
        if audience != PUBLIC.token_exchange_audience:
            where += az.options(audience=audience)
        issuers = [deployment.issuer for deployment in deployments]
        issuers = issuers[:1] if len(set(issuers)) == 1 else issuers
        for issuer in issuers:
            where += az.options(issuer=issuer)
        given = [argument for deployment in deployments for argument in deployment.given_as]
        link = f"{shlex.join(['airflow-azure-wi', 'link', *where, *given])} | sh"
        if isinstance(holder, IdentityResource) and holder != self.holder:
            return [shlex.join(az.create_identity(holder)), link]
        return [link]


def _numbered(holder: Holder, number: int) -> Holder:
    if number == 1:
        return holder
    if isinstance(holder, Application):
        return replace(holder, client_id=f"ID_OF_APPLICATION_{number}")
    return replace(holder, name=f"{holder.name[:124]}-{number}")
