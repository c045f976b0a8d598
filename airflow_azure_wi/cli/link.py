"""``link``: print what links workloads to a managed identity, or to an application."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_azure_wi.cli import _deployments
from airflow_azure_wi.cli._proposal import Proposal
from airflow_azure_wi.cli._text import read_text
from airflow_azure_wi.cli.command import FAILED, JSON, OK, OVER_LIMIT, Argument, Command, UsageError, cloud
from airflow_azure_wi.clouds import PUBLIC, names_of_clouds
from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation import az_script, bicep, bindings, changes_script, terraform
from airflow_azure_wi.federation.comparison import Comparison, Existing, compare, parse_list
from airflow_azure_wi.federation.credentials import (
    Application,
    FederatedIdentityCredential,
    Holder,
    IdentityResource,
    problems_of_credential,
)
from airflow_azure_wi.federation.issuers import issuer_of
from airflow_azure_wi.federation.quota import Quota, quota_of
from airflow_azure_wi.federation.workloads import Workloads
from airflow_azure_wi.redaction import quoted

_FORMATS = ("az", "terraform", "bicep", "json")

_DESCRIPTION = """\
Prints what links the workloads of Airflow deployments to a managed identity (or
to an application, for another tenant): a federated identity credential for
each, with exactly the issuer, subject and audience of the workload's federated
token. Nothing changes before you run what it prints.

Several deployments may be given. Without any, inside a workload, it is that
workload itself: issuer and subject are read from its projected token.
"""

_EXAMPLES = """\
# Link a release of the official Helm chart, and get the identity's JSON:
{program} link --identity-name airflow --resource-group data \\
    --issuer https://oidc.example.com/ --helm airflow --namespace airflow \\
    | sh

# The same for an Astro deployment, as Terraform:
{program} link --identity-name airflow --resource-group data \\
    --issuer https://oidc.example.com/ --astro sunny-orbit-1234 \\
    --format terraform

# What is missing, wrong or extra?
az identity federated-credential list --identity-name airflow \\
    --resource-group data | {program} link --identity-name airflow \\
    --resource-group data --issuer https://oidc.example.com/ \\
    --astro sunny-orbit-1234 --check -
"""


def run(arguments: argparse.Namespace) -> int:
    """Print the link, or what it lacks; where it is more than an identity can hold, print the ways out instead."""
    output_format = _format_of(arguments)
    holder = _holder(arguments)
    problems = [*holder.problems()]
    deployments = _deployments.given(arguments, arguments.audience or arguments.cloud.token_exchange_audience, problems)
    if arguments.binding:
        return _bind(arguments, holder, deployments, problems)
    wanted = [credential for deployment in deployments for credential in deployment.credentials()]
    problems += [problem for credential in wanted for problem in problems_of_credential(credential)]
    if problems:
        raise FederationError(list(dict.fromkeys(problems)))
    comparison = compare(wanted, _listed(arguments.check)) if arguments.check else None
    quota = quota_of(deployments, others=comparison.others if comparison else 0)
    if quota.is_exceeded:
        return _propose(Proposal(holder, deployments, quota, comparison), as_json=output_format == "json")
    if output_format == "json":
        print(json.dumps(_as_json(holder, deployments, quota, comparison), indent=2))
    else:
        # First the warnings, then what they warn of.
        for line in _notes(arguments, deployments):
            _say(line)
        print(_text(holder, wanted, comparison, output_format), end="", flush=True)
        for line in _outlook(arguments, holder, quota, comparison):
            _say(line)
    return OK if comparison is None or comparison.is_clean else FAILED


def _holder(arguments: argparse.Namespace) -> Holder:
    """Return what is to hold the credentials."""
    named = {
        "--identity-name": arguments.identity_name,
        "--resource-group": arguments.resource_group,
        "--subscription": arguments.subscription,
    }
    if arguments.application:
        if given := [option for option, value in named.items() if value]:
            raise UsageError(f"--application and {given[0]} exclude each other: give one of them.")
        return Application(arguments.application, arguments.tenant)
    if arguments.tenant:
        raise UsageError("--tenant is the other tenant of an application: add --application ID.")
    if missing := [option for option in ("--identity-name", "--resource-group") if not named[option]]:
        raise UsageError(
            f"{' and '.join(missing)} missing: name the managed identity with --identity-name NAME and "
            "--resource-group GROUP, or an application with --application ID."
        )
    return IdentityResource(arguments.identity_name, arguments.resource_group, arguments.subscription)


def _bind(arguments: argparse.Namespace, holder: Holder, deployments: Sequence[Workloads], problems: list[str]) -> int:
    """Print an identity binding."""
    if isinstance(holder, Application):
        raise UsageError(
            "--binding binds a managed identity, not an application: identity bindings of AKS support nothing else."
        )
    if not (arguments.cluster and arguments.cluster_group):
        problems.append("--binding binds to an AKS cluster: add --cluster NAME and --cluster-group GROUP")
    if problems:
        raise FederationError(list(dict.fromkeys(problems)))
    script = bindings.script(holder, deployments, bindings.Cluster(arguments.cluster, arguments.cluster_group))
    print(json.dumps({"identityBinding": script}, indent=2) if arguments.json else script)
    for line in _notes(arguments, deployments):
        _say(line)
    return OK


def _propose(proposal: Proposal, *, as_json: bool) -> int:
    if as_json:
        shown = _as_json(proposal.holder, proposal.deployments, proposal.quota, proposal.comparison)
        print(json.dumps(shown | {"proposal": proposal.as_json()}, indent=2))
    else:
        proposal.show()
    return OVER_LIMIT


def _listed(file: str) -> tuple[Existing, ...]:
    text, source = read_text(file)
    return parse_list(text, source=source)


def _format_of(arguments: argparse.Namespace) -> str:
    output_format = "json" if arguments.json else str(arguments.format or "az")
    if arguments.json and arguments.format not in (None, "json"):
        raise UsageError(f"--json and --format {arguments.format} exclude each other: give one of them.")
    # https://learn.microsoft.com/graph/templates/how-to-reference-existing-resources
    if output_format == "bicep" and arguments.application:
        raise UsageError(
            "--format bicep is for managed identities: Bicep finds an application only by its uniqueName, which those "
            "made with the portal or the Azure CLI do not have. Use --format terraform or az."
        )
    arguments.json = output_format == "json"
    return output_format


def _text(
    holder: Holder, wanted: Sequence[FederatedIdentityCredential], comparison: Comparison | None, output_format: str
) -> str:
    if output_format == "az":
        if comparison is None:
            return az_script.render(holder, wanted)
        return "" if comparison.is_clean else changes_script.render(holder, comparison)
    named = comparison.under_existing_names() if comparison else {}
    credentials = [named.get(credential, credential) for credential in wanted]
    existing = {each.name: each for each in comparison.existing()} if comparison else {}
    if isinstance(holder, IdentityResource) and output_format == "bicep":
        return bicep.render(holder, credentials, existing)
    return terraform.render(holder, credentials, existing)


def _notes(arguments: argparse.Namespace, deployments: Sequence[Workloads]) -> list[str]:
    """Return how the service accounts were found, and what was changed in what was given."""
    notes = []
    for deployment in deployments:
        if deployment.notes:
            notes += [f"{deployment.title}:", *(f"  {note}" for note in deployment.notes)]
    for issuer in dict.fromkeys(arguments.issuer):
        if issuer_of(issuer) != issuer:
            notes.append(
                f"The issuer is {quoted(issuer_of(issuer))}: the path of its OpenID configuration was cut off. That "
                'document has the issuer as "issuer"; compare them to the last character.'
            )
    return notes


def _outlook(arguments: argparse.Namespace, holder: Holder, quota: Quota, comparison: Comparison | None) -> list[str]:
    """Return what is to be known of the whole."""
    lines = [_summary(quota, comparison)]
    if comparison is None:
        lines.append(
            "Entra accepts new credentials after a few minutes. If Azure says that issuer and subject exist already, "
            "--check says under which name."
        )
    if isinstance(holder, Application):
        if comparison is None and arguments.format in (None, "az"):
            lines.append("A credential that has one of these names already is left as it is; --check compares it.")
        lines.append("Once, as an administrator of the other tenant:")
        lines += [f"  {line}" for line in az_script.other_tenant(holder).splitlines()]
    if arguments.cloud != PUBLIC:
        lines.append(
            f"To point the Azure CLI at {arguments.cloud.name}: az cloud set --name {arguments.cloud.cli_name}"
        )
    return lines


def _summary(quota: Quota, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"{quota.summary()} Others that it may hold are not counted; --check counts them."
    if comparison.is_clean:
        return f"Nothing is missing, wrong or extra. {quota.summary()}"
    counts = {"missing": len(comparison.missing), "wrong": len(comparison.wrong), "extra": len(comparison.extra)}
    return f"{', '.join(f'{count} {what}' for what, count in counts.items())}. {quota.summary()}"


def _as_json(
    holder: Holder, deployments: Sequence[Workloads], quota: Quota, comparison: Comparison | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "application" if isinstance(holder, Application) else "identity": holder.as_json(),
        "deployments": [_deployment_as_json(each) for each in deployments],
        "quota": {"used": quota.used, "limit": quota.limit, "moreDeployments": quota.more_deployments},
    }
    if comparison is not None:
        shown["missing"] = [_credential_as_json(credential) for credential in comparison.missing]
        shown["wrong"] = [
            {**_credential_as_json(wrong.replacement), "because": wrong.because} for wrong in comparison.wrong
        ]
        shown["extra"] = [existing.as_json() for existing in comparison.extra]
        shown["flexible"] = [existing.as_json() for existing in comparison.flexible]
    return shown


def _deployment_as_json(deployment: Workloads) -> dict[str, Any]:
    notes: Mapping[str, Any] = {"notes": list(deployment.notes)} if deployment.notes else {}
    credentials = [_credential_as_json(credential) for credential in deployment.credentials()]
    return {"title": deployment.title, "credentials": credentials, **notes}


def _credential_as_json(credential: FederatedIdentityCredential) -> dict[str, object]:
    return {
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "audiences": [credential.audience],
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _deployment(flag: str, metavar: str, text: str) -> Argument:
    return Argument(flag, dest="deployments", action=_deployments.InOrder, default=(), metavar=metavar, help=text)


COMMAND = Command(
    name="link",
    help="print what links workloads to a managed identity",
    description=_DESCRIPTION,
    usage="--identity-name NAME --resource-group GROUP\n           [DEPLOYMENT ...] [OPTION ...]",
    examples=_EXAMPLES,
    run=run,
    arguments=(
        Argument("--identity-name", metavar="NAME", help="the name of the managed identity"),
        Argument("--resource-group", metavar="GROUP", help="the resource group of the identity"),
        Argument("--subscription", metavar="ID", help="its subscription, unless the Azure CLI is set to it"),
        Argument("--application", metavar="ID", help="an application instead, by its client id: for another tenant"),
        Argument("--tenant", metavar="TENANT", help="with --application, the other tenant that it signs in to"),
        _deployment("--astro", "NAMESPACE", "an Astro deployment, by its namespace; may be repeated"),
        Argument(
            "--also",
            action="append",
            default=[],
            metavar="COMPONENTS",
            help="further components of Astro deployments besides scheduler, triggerer, worker and kpo, such as "
            "dag-processor,apiserver",
        ),
        _deployment("--helm", "RELEASE", "a release of the official Helm chart, with --namespace; may be repeated"),
        Argument(
            "--chart-values",
            action="append",
            default=[],
            metavar="FILE",
            help="your values of the chart (- for standard input), from which the names of its service accounts "
            "follow; one for all releases, or one for each in order",
        ),
        _deployment(
            "--service-account",
            "[NAMESPACE:]NAME",
            "any service account of Kubernetes, also as system:serviceaccount:NAMESPACE:NAME; may be repeated",
        ),
        _deployment(
            "--subject", "SUBJECT", "any other workload, by the subject of its tokens (SPIFFE, GitHub); may be repeated"
        ),
        Argument(
            "--namespace",
            action="append",
            default=[],
            metavar="NAME",
            help="the namespace of releases and service accounts; one for all, or one for each release in order",
        ),
        Argument(
            "--issuer",
            action="append",
            default=[],
            metavar="URL",
            help="the cluster's OIDC issuer; one for all, or one for each deployment in order; inside a workload, "
            "that of its own token unless given",
        ),
        Argument(
            "--cloud",
            type=cloud,
            metavar="NAME",
            default=PUBLIC,
            help=f"decides the audience: {names_of_clouds()} ({PUBLIC.name} unless given)",
        ),
        Argument("--audience", help="the audience of the projected tokens, if it is not the cloud's"),
        Argument("--format", choices=_FORMATS, help="what to print (az unless given)"),
        Argument(
            "--check",
            metavar="FILE",
            help="print only what is missing, wrong or extra compared with FILE (- for standard input), the output of "
            "`az identity federated-credential list` (or `az ad app federated-credential list`); with --format "
            "terraform or bicep, print all, with what exists under its own name",
        ),
        Argument("--binding", action="store_true", help="print an AKS identity binding instead of credentials"),
        Argument("--cluster", metavar="NAME", help="with --binding, the AKS cluster"),
        Argument("--cluster-group", metavar="GROUP", help="with --binding, the resource group of the cluster"),
        JSON,
    ),
)
