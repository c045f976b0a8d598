"""Which deployments the arguments of ``link`` name."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from airflow_azure_wi import tokens
from airflow_azure_wi.cli._chart_values import read_values
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import FederatedTokenError
from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.chart import release_of, warning_about_default
from airflow_azure_wi.federation.credentials import SERVICE_ACCOUNT_PREFIX
from airflow_azure_wi.federation.issuers import issuer_of
from airflow_azure_wi.federation.workloads import Workloads, astro_accounts, problems_of_names, subject_of
from airflow_azure_wi.redaction import quoted
from airflow_azure_wi.tokens import FederatedToken

_ASTRO, _HELM, _SERVICE_ACCOUNT, _SUBJECT = "--astro", "--helm", "--service-account", "--subject"

# The namespace of what has none.
_NO_NAMESPACE = ""


class InOrder(argparse.Action):
    """Collects the deployments with the option that named them, in the order in which they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add one."""
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (option_string, values)])


def given(arguments: argparse.Namespace, audience: str, problems: list[str]) -> list[Workloads]:
    """Return the deployments that were given or, without any, the workload that this runs in.

    :param problems: what is missing or cannot be is added to it; what is returned is incomplete then.
    """
    if not arguments.deployments:
        return _this_workload(arguments, audience, problems)
    problems += _problems_of_options(arguments)
    values = iter(_values_of_releases(arguments, problems))
    also = tuple(name.strip() for names in arguments.also for name in names.split(",") if name.strip())
    named = []
    for option, name, namespace in _with_namespaces(arguments, problems):
        if option == _ASTRO:
            named.append(_astro(name, also, problems))
        elif option == _HELM:
            named.append(_release(name, namespace, next(values, None), problems))
        elif option == _SUBJECT:
            named.append(Workloads(f"subject {name}", "", (name,), "", tuple(commands.option(option, name))))
        else:
            named.append(_service_account(name, namespace, problems))
    deployments = _merged(named)
    # Identity bindings need no issuer: AKS makes the credential itself.
    issuers = [""] * len(deployments) if arguments.binding else _issuers(arguments.issuer, len(deployments), problems)
    complete = [
        replace(deployment, issuer=issuer, audience=audience)
        for deployment, issuer in zip(deployments, issuers, strict=False)
    ]
    return _without_repetitions(complete)


def _with_namespaces(arguments: argparse.Namespace, problems: list[str]) -> list[tuple[str, str, str]]:
    """Return option, name and namespace of each deployment."""
    namespaces = list(arguments.namespace)
    releases = [name for option, name in arguments.deployments if option == _HELM]
    if len(namespaces) > 1 and len(namespaces) != len(releases):
        problems.append(
            f"--namespace is given {len(namespaces)} times for {len(releases)} releases: give it once for all, or once "
            "for each --helm in the same order"
        )
        namespaces = namespaces[:1]
    of_releases = iter(namespaces if len(namespaces) > 1 else namespaces * len(releases))
    found = []
    for option, name in arguments.deployments:
        if option == _ASTRO:
            found.append((option, name, name))
        elif option == _SUBJECT:
            found.append((option, name, _NO_NAMESPACE))
        elif option == _SERVICE_ACCOUNT and ":" in name:
            # As Entra's errors print it, too.
            namespace, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).split(":", 1)
            found.append((option, account, namespace))
        else:
            namespace = next(of_releases, None) if option == _HELM else next(iter(namespaces), None)
            if namespace is None:
                problems.append(f"{option} {quoted(name)} needs a namespace: add --namespace NAME")
            else:
                found.append((option, name, namespace))
    return found


def _problems_of_options(arguments: argparse.Namespace) -> Iterator[str]:
    """Say which options are of no use without another."""
    options = {option for option, _ in arguments.deployments}
    if arguments.also and _ASTRO not in options:
        yield "--also names further components of an Astro deployment: add --astro NAMESPACE"
    if arguments.chart_values and _HELM not in options:
        yield "--chart-values are those of a release of the Helm chart: add --helm RELEASE"


def _values_of_releases(arguments: argparse.Namespace, problems: list[str]) -> list[Mapping[str, Any] | None]:
    files = list(arguments.chart_values)
    count = sum(option == _HELM for option, _ in arguments.deployments)
    if not files or not count:
        return [None] * count
    if len(files) not in (1, count):
        problems.append(
            f"--chart-values is given {len(files)} times for {count} releases: give it once for all, or once for each "
            "--helm in the same order"
        )
    values = [read_values(file) for file in files]
    return [*values] * count if len(values) == 1 else [*values]


def _astro(namespace: str, also: tuple[str, ...], problems: list[str]) -> Workloads:
    accounts = astro_accounts(namespace, also)
    problems += problems_of_names(namespace, tuple(accounts))
    names = {subject_of(namespace, account): name for account, name in accounts.items()}
    given_as = (_ASTRO, namespace, *(("--also", ",".join(also)) if also else ()))
    return Workloads(f"Astro deployment {namespace}", "", tuple(names), "", given_as, names)


def _release(name: str, namespace: str, values: Mapping[str, Any] | None, problems: list[str]) -> Workloads:
    release = release_of(name, values)
    accounts = release.names()
    problems += problems_of_names(namespace, accounts)
    subjects = tuple(subject_of(namespace, account) for account in accounts)
    given_as: tuple[str, ...] = (_HELM, name, "--namespace", namespace)
    if values is not None:
        # The file may be gone, or have been standard input.
        given_as = tuple(chain.from_iterable((_SERVICE_ACCOUNT, f"{namespace}:{account}") for account in accounts))
    return Workloads(
        f"release {name} in namespace {namespace}", "", subjects, "", given_as, notes=tuple(release.summary())
    )


def _service_account(name: str, namespace: str, problems: list[str]) -> Workloads:
    problems += problems_of_names(namespace, (name,))
    notes = tuple(warning_about_default(name, "Airflow"))
    given_as = (_SERVICE_ACCOUNT, f"{namespace}:{name}")
    return Workloads(f"namespace {namespace}", "", (subject_of(namespace, name),), "", given_as, notes=notes)


def _merged(named: Sequence[Workloads]) -> list[Workloads]:
    """Put the service accounts of a namespace together: they are one deployment.

    A platform's deployment that is named twice stays two: it may be on two clusters.
    """
    merged: list[Workloads] = []
    for each in named:
        at = next((index for index, known in enumerate(merged) if known.title == each.title), None)
        if at is None or each.given_as[0] != _SERVICE_ACCOUNT:
            merged.append(each)
        else:
            known = merged[at]
            merged[at] = replace(
                known,
                subjects=known.subjects + each.subjects,
                given_as=known.given_as + each.given_as,
                notes=known.notes + each.notes,
            )
    return merged


def _issuers(issuers: Sequence[str], count: int, problems: list[str]) -> list[str]:
    if not issuers:
        try:
            issuers = [_own_token().issuer]
        except FederatedTokenError:
            problems.append(
                "The issuer is missing: add --issuer URL, the cluster's OIDC issuer (on AKS: `az aks show --query "
                "oidcIssuerProfile.issuerUrl`), or run this inside a workload, whose federated token names it"
            )
            return []
    # Deployments that could not be understood are not in the count; one problem after the other, then.
    if len(issuers) not in (1, count) and not problems:
        problems.append(
            f"--issuer is given {len(issuers)} times for {count} deployments: give it once for all, or once for each "
            "in the same order"
        )
    issuers = [issuer_of(issuer) for issuer in issuers]
    return issuers * count if len(issuers) == 1 else issuers


def _without_repetitions(deployments: Sequence[Workloads]) -> list[Workloads]:
    seen: set[tuple[str, str]] = set()
    unique = []
    for deployment in deployments:
        subjects = dict.fromkeys(each for each in deployment.subjects if (deployment.issuer, each) not in seen)
        seen |= {(deployment.issuer, subject) for subject in subjects}
        if subjects:
            unique.append(replace(deployment, subjects=tuple(subjects)))
    return unique


def _this_workload(arguments: argparse.Namespace, audience: str, problems: list[str]) -> list[Workloads]:
    if arguments.namespace:
        problems.append("--namespace is given alone: add --helm RELEASE or --service-account NAME")
    try:
        token = _own_token()
    except FederatedTokenError as error:
        problems.append(
            "No deployment is given: add --astro NAMESPACE, --helm RELEASE --namespace NAME, --service-account "
            f"NAMESPACE:NAME or --subject SUBJECT, and --issuer URL. And this does not run inside a workload: {error}"
        )
        return []
    issuer = issuer_of(arguments.issuer[0]) if arguments.issuer else token.issuer
    return [Workloads("this workload", issuer, (token.subject,), audience)]


def _own_token() -> FederatedToken:
    deployment = Deployment.of(os.environ)
    return tokens.read(deployment.token_file, named_by=deployment.token_file_named_by)
