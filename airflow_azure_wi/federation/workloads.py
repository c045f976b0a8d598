"""The workloads of a deployment: which service accounts Airflow runs as, on each platform."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from airflow_azure_wi.federation.credentials import FederatedIdentityCredential

_ASTRO_COMPONENTS = ("scheduler", "triggerer", "worker", "dag-processor", "webserver")
_HELM_COMPONENTS = ("scheduler", "triggerer", "worker", "dag-processor", "api-server")

_SERVICE_ACCOUNT = "system:serviceaccount:"

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class Workloads:
    """The workloads of one deployment, on one cluster.

    :param title: the deployment, as messages shall name it.
    :param subjects: the subjects of its federated tokens.
    :param given_as: the arguments that name this deployment on the command line, but for the issuer.
    """

    title: str
    issuer: str
    subjects: tuple[str, ...]
    audience: str
    given_as: tuple[str, ...] = ()

    def credentials(self) -> tuple[FederatedIdentityCredential, ...]:
        """Return the federated identity credentials that these workloads need, one each."""
        return tuple(FederatedIdentityCredential.of(self.issuer, subject, self.audience) for subject in self.subjects)

    def part(self, first: int, count: int) -> "Workloads":
        """Return a part of these workloads, or all of them unchanged."""
        subjects = self.subjects[first : first + count]
        if subjects == self.subjects:
            return self
        part = replace(self, subjects=subjects)
        accounts = [("--service-account", ":".join(account)) for account in part.service_accounts()]
        return replace(part, given_as=tuple(chain.from_iterable(accounts)))

    def service_accounts(self) -> Iterator[tuple[str, str]]:
        """Return namespace and name of those workloads that are service accounts of Kubernetes."""
        for subject in self.subjects:
            if subject.startswith(_SERVICE_ACCOUNT) and subject.count(":") == 3:
                namespace, name = subject.removeprefix(_SERVICE_ACCOUNT).split(":")
                yield namespace, name


def astro_accounts(namespace: str) -> tuple[str, ...]:
    """Return the service accounts of an Astro deployment, which is named like its namespace."""
    return (*(f"{namespace}-{component}-serviceaccount" for component in _ASTRO_COMPONENTS), f"{namespace}-kpo")


def helm_accounts(release: str) -> tuple[str, ...]:
    """Return the service accounts of a release of Airflow's official Helm chart."""
    return tuple(f"{release}-{component}" for component in _HELM_COMPONENTS)


def subject_of(namespace: str, service_account: str) -> str:
    """Return the subject of the tokens that Kubernetes signs for a service account."""
    return f"{_SERVICE_ACCOUNT}{namespace}:{service_account}"


def problems_of_names(namespace: str, service_accounts: tuple[str, ...]) -> Iterator[str]:
    """Say which names no Kubernetes cluster would have."""
    if not _LABEL.fullmatch(namespace):
        yield (
            f"The namespace is {namespace!r}, expected up to 63 of a-z, 0-9 and -, beginning and ending with a-z or 0-9"
        )
    for account in service_accounts:
        if not _SUBDOMAIN.fullmatch(account):
            yield (
                f"The service account is {account!r}, expected up to 253 of a-z, 0-9, - and ., beginning and ending "
                "with a-z or 0-9"
            )
