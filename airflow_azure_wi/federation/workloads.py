"""The workloads of a deployment: which service accounts Airflow runs as, on each platform."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from airflow_azure_wi.federation.commands import option
from airflow_azure_wi.federation.credentials import SERVICE_ACCOUNT_PREFIX, FederatedIdentityCredential
from airflow_azure_wi.redaction import quoted

# The four that Astro's own command links, under the names that it gives the credentials:
# https://github.com/astronomer/docs, learn/connections/entra-workload-identity.md
_ASTRO_COMPONENTS = ("scheduler", "triggerer", "worker")
_ASTRO_TASKS = "kpo"

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class Workloads:
    """The workloads of one deployment, on one cluster.

    :param title: the deployment, in messages.
    :param subjects: the subjects of its federated tokens.
    :param given_as: the arguments that name this deployment on the command line, except the issuer.
    :param names: what the credential of a subject is called, where the platform has a name for it.
    :param notes: what a user should know of how the subjects were found, a line each.
    """

    title: str
    issuer: str
    subjects: tuple[str, ...]
    audience: str
    given_as: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def credentials(self) -> tuple[FederatedIdentityCredential, ...]:
        """Return the federated identity credentials that these workloads need, one each."""
        return tuple(map(self._credential, self.subjects))

    def _credential(self, subject: str) -> FederatedIdentityCredential:
        credential = FederatedIdentityCredential.of(self.issuer, subject, self.audience)
        return replace(credential, name=self.names.get(subject, credential.name))

    def part(self, first: int, count: int) -> "Workloads":
        """Return a part of these workloads, or all of them unchanged."""
        subjects = self.subjects[first : first + count]
        if subjects == self.subjects:
            return self
        given_as = tuple(chain.from_iterable(option("--subject", subject) for subject in subjects))
        return replace(self, subjects=subjects, given_as=given_as)

    def service_accounts(self) -> Iterator[tuple[str, str]]:
        """Return namespace and name of those workloads that are service accounts of Kubernetes."""
        for subject in self.subjects:
            if subject.startswith(SERVICE_ACCOUNT_PREFIX) and subject.count(":") == 3:
                namespace, name = subject.removeprefix(SERVICE_ACCOUNT_PREFIX).split(":")
                yield namespace, name


def astro_accounts(namespace: str, also: Sequence[str] = ()) -> dict[str, str]:
    """Return the service accounts of an Astro deployment, and what Astro's own command calls their credentials.

    :param namespace: that of the deployment.
    :param also: further components, such as ``dag-processor``.
    """
    components = dict.fromkeys((*_ASTRO_COMPONENTS, *also))
    accounts = {f"{namespace}-{each}-serviceaccount": f"{namespace}-{each}" for each in components}
    return accounts | {f"{namespace}-{_ASTRO_TASKS}": f"{namespace}-{_ASTRO_TASKS}"}


def subject_of(namespace: str, service_account: str) -> str:
    """Return the subject of the tokens that Kubernetes signs for a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{service_account}"


def problems_of_names(namespace: str, service_accounts: tuple[str, ...]) -> Iterator[str]:
    """Say which names no Kubernetes cluster would have."""
    if not _LABEL.fullmatch(namespace):
        yield (
            f"The namespace is {quoted(namespace)}, expected up to 63 of a-z, 0-9 and -, beginning and ending with a-z "
            "or 0-9"
        )
    for account in service_accounts:
        if not _SUBDOMAIN.fullmatch(account):
            yield (
                f"The service account is {quoted(account)}, expected up to 253 of a-z, 0-9, - and ., beginning and "
                "ending with a-z or 0-9"
            )
