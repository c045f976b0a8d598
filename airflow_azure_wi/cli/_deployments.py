"""Which deployments the arguments of ``link`` name."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_azure_wi import federated_token
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import FederatedTokenError
from airflow_azure_wi.federated_token import FederatedToken
from airflow_azure_wi.federation.workloads import (
    Workloads,
    astro_accounts,
    helm_accounts,
    problems_of_names,
    subject_of,
)

_ASTRO, _HELM, _SERVICE_ACCOUNT = "--astro", "--helm", "--service-account"


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
    named = [_named(*each, problems) for each in _with_namespaces(arguments, problems)]
    deployments = _merged(named)
    issuers = _issuers(arguments.issuer, len(deployments), problems)
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
        elif option == _SERVICE_ACCOUNT and ":" in name:
            namespace, account = name.split(":", 1)
            found.append((option, account, namespace))
        else:
            namespace = next(of_releases, None) if option == _HELM else next(iter(namespaces), None)
            if namespace is None:
                problems.append(f"{option} {name!r} needs a namespace: add --namespace NAME")
            else:
                found.append((option, name, namespace))
    return found


def _named(option: str, name: str, namespace: str, problems: list[str]) -> Workloads:
    accounts: tuple[str, ...]
    given_as: tuple[str, ...]
    if option == _ASTRO:
        title, accounts, given_as = f"Astro deployment {name}", astro_accounts(name), (option, name)
    elif option == _HELM:
        title, accounts = f"release {name} in namespace {namespace}", helm_accounts(name)
        given_as = (option, name, "--namespace", namespace)
    else:
        title, accounts, given_as = f"namespace {namespace}", (name,), (option, f"{namespace}:{name}")
    problems += problems_of_names(namespace, accounts)
    return Workloads(title, "", tuple(subject_of(namespace, account) for account in accounts), "", given_as)


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
                known, subjects=known.subjects + each.subjects, given_as=known.given_as + each.given_as
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
    return list(issuers) * count if len(issuers) == 1 else list(issuers)


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
            "No deployment is given: add --astro NAMESPACE, --helm RELEASE --namespace NAME, or --service-account "
            f"NAMESPACE:NAME, and --issuer URL. And this does not run inside a workload: {error}"
        )
        return []
    issuer = arguments.issuer[0] if arguments.issuer else token.issuer
    return [Workloads("this workload", issuer, (token.subject,), audience)]


def _own_token() -> FederatedToken:
    deployment = Deployment.of(os.environ)
    return federated_token.read(deployment.token_file, named_by=deployment.token_file_named_by)
