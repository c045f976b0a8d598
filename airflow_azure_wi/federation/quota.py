"""The limit of federated identity credentials on one managed identity, and the ways past it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_azure_wi.federation.comparison import Comparison, Existing
from airflow_azure_wi.federation.credentials import Application, Holder
from airflow_azure_wi.federation.workloads import Workloads

# https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
MOST_CREDENTIALS = 20


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


def quota_of(deployments: Sequence[Workloads], others: int = 0) -> Quota:
    """Return the quota of an identity.

    :param deployments: the deployments that it is linked to.
    :param others: how many credentials it holds besides.
    """
    sizes = [len(deployment.subjects) for deployment in deployments]
    return Quota(sum(sizes) + others, max(sizes, default=0))


@dataclass(frozen=True)
class Share:
    """What one of several identities would be linked to."""

    holder: Holder
    deployments: tuple[Workloads, ...]


def split(holder: Holder, deployments: Sequence[Workloads], others: int = 0) -> list[Share]:
    """Divide deployments over as few identities as their order allows, each deployment whole where it fits.

    :param others: how many credentials the first identity holds besides.
    """
    room = MOST_CREDENTIALS - others
    parts: list[list[Workloads]] = [[]]
    for piece in [piece for deployment in deployments for piece in _pieces(deployment)]:
        if len(piece.subjects) > room:
            parts.append([])
            room = MOST_CREDENTIALS
        parts[-1].append(piece)
        room -= len(piece.subjects)
    return [Share(_numbered(holder, number), tuple(part)) for number, part in enumerate(parts, 1) if part]


def _pieces(deployment: Workloads) -> list[Workloads]:
    """Return the deployment, or parts of it where it alone is more than an identity can hold."""
    starts = range(0, len(deployment.subjects), MOST_CREDENTIALS)
    return [deployment.part(start, MOST_CREDENTIALS) for start in starts]


def _numbered(holder: Holder, number: int) -> Holder:
    if number == 1:
        return holder
    if isinstance(holder, Application):
        return replace(holder, client_id=f"ID_OF_APPLICATION_{number}")
    return replace(holder, name=f"{holder.name[:124]}-{number}")


def deletable(comparison: Comparison, quota: Quota) -> tuple[Existing, ...]:
    """Return the extra credentials whose deletion would bring an identity within its limit, or nothing.

    Those of the issuers that are being linked come first: they are of service accounts that are no longer there.
    """
    needed = quota.used - quota.limit
    issuers = {credential.issuer for credential, _ in comparison.matching} | {
        credential.issuer for credential in (*comparison.missing, *(wrong.wanted for wrong in comparison.wrong))
    }
    candidates = sorted(comparison.extra, key=lambda existing: existing.issuer not in issuers)
    return tuple(candidates[:needed]) if 0 < needed <= len(candidates) else ()
