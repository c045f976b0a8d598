"""``link``: print what links workloads to a managed identity."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from airflow_azure_wi.cli import _deployments, _proposal
from airflow_azure_wi.cli._text import read_text
from airflow_azure_wi.cli.command import FAILED, JSON, OK, OVER_LIMIT, Argument, Command, UsageError, cloud
from airflow_azure_wi.clouds import PUBLIC, names_of_clouds
from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation import az_script, bicep, changes_script, terraform
from airflow_azure_wi.federation.comparison import Comparison, Existing, compare, parse_list
from airflow_azure_wi.federation.credentials import (
    FederatedIdentityCredential,
    IdentityResource,
    problems_of_credential,
    problems_of_identity,
)
from airflow_azure_wi.federation.quota import Quota, quota_of
from airflow_azure_wi.federation.workloads import Workloads

_RENDERERS: dict[str, Callable[[IdentityResource, Sequence[FederatedIdentityCredential]], str]] = {
    "az": az_script.render,
    "terraform": terraform.render,
    "bicep": bicep.render,
}

_DESCRIPTION = """\
Prints what links the workloads of Airflow deployments to a managed identity: a
federated identity credential for each, with exactly the issuer, subject and
audience of the workload's federated token.

Several deployments may be given. Without any, inside a workload, it is that
workload itself: issuer and subject are read from its projected token.
"""

_EXAMPLES = """\
# Link a release of the official Helm chart, and get the identity's JSON:
{program} link --identity-name airflow --resource-group data \\
    --issuer https://oidc.example.com/ --helm airflow --namespace airflow \\
    | bash

# The same for an Astro deployment, as Terraform:
{program} link --identity-name airflow --resource-group data \\
    --issuer https://oidc.example.com/ --astro sunny-orbit-1234 \\
    --format terraform

# What is missing, wrong or superfluous?
az identity federated-credential list --identity-name airflow \\
    --resource-group data | {program} link --identity-name airflow \\
    --resource-group data --issuer https://oidc.example.com/ \\
    --astro sunny-orbit-1234 --check -
"""


def run(arguments: argparse.Namespace) -> int:
    """Print the link, or what it lacks; where it is more than an identity can hold, print the ways out instead."""
    output_format = _format_of(arguments)
    identity = IdentityResource(arguments.identity_name, arguments.resource_group, arguments.subscription)
    audience = arguments.audience or arguments.cloud.token_exchange_audience
    problems = [*problems_of_identity(identity)]
    deployments = _deployments.given(arguments, audience, problems)
    wanted = [credential for deployment in deployments for credential in deployment.credentials()]
    problems += [problem for credential in wanted for problem in problems_of_credential(credential)]
    if problems:
        raise FederationError(list(dict.fromkeys(problems)))
    comparison = compare(wanted, _listed(arguments.check)) if arguments.check else None
    quota = quota_of(deployments, others=len(comparison.superfluous) if comparison else 0)
    if quota.is_exceeded:
        _proposal.show(identity, deployments, quota, as_json=output_format == "json")
        return OVER_LIMIT
    if output_format == "json":
        _show_json(identity, deployments, quota, comparison)
    elif comparison is None:
        print(_RENDERERS[output_format](identity, wanted), end="")
    elif not comparison.is_clean:
        print(changes_script.render(identity, comparison), end="")
    if output_format != "json":
        _say(_summary(quota, comparison))
        if arguments.cloud != PUBLIC:
            _say(f"To point the Azure CLI at {arguments.cloud.name}: az cloud set --name {arguments.cloud.cli_name}")
    return OK if comparison is None or comparison.is_clean else FAILED


def _listed(file: str) -> tuple[Existing, ...]:
    text, source = read_text(file)
    return parse_list(text, source=source)


def _format_of(arguments: argparse.Namespace) -> str:
    output_format = "json" if arguments.json else str(arguments.format or "az")
    if arguments.json and arguments.format not in (None, "json"):
        raise UsageError(f"--json and --format {arguments.format} exclude each other: give one of them.")
    if arguments.check and output_format not in ("az", "json"):
        raise UsageError(f"--check prints commands or JSON, not {output_format}, which compares by its own plan.")
    arguments.json = output_format == "json"
    return output_format


def _summary(quota: Quota, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"{quota.told()} Others that it may hold are not counted; --check counts them."
    if comparison.is_clean:
        return f"Nothing is missing, wrong or superfluous. {quota.told()}"
    counts = {
        "missing": len(comparison.missing),
        "wrong": len(comparison.wrong),
        "superfluous": len(comparison.superfluous),
    }
    return f"{', '.join(f'{count} {what}' for what, count in counts.items())}. {quota.told()}"


def _show_json(
    identity: IdentityResource, deployments: Sequence[Workloads], quota: Quota, comparison: Comparison | None
) -> None:
    shown = {
        "identity": identity.as_json(),
        "deployments": [
            {"title": each.title, "credentials": [_as_json(credential) for credential in each.credentials()]}
            for each in deployments
        ],
        "quota": {"used": quota.used, "limit": quota.limit, "moreDeployments": quota.more_deployments},
    }
    if comparison is not None:
        shown["missing"] = [_as_json(credential) for credential in comparison.missing]
        shown["wrong"] = [{**_as_json(wrong.replacement), "because": wrong.because} for wrong in comparison.wrong]
        shown["superfluous"] = [vars(existing) for existing in comparison.superfluous]
    print(json.dumps(shown, indent=2))


def _as_json(credential: FederatedIdentityCredential) -> dict[str, object]:
    values = vars(credential)
    return {"name": values["name"], "issuer": values["issuer"], "subject": values["subject"]} | {
        "audiences": [credential.audience]
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
        Argument("--identity-name", required=True, metavar="NAME", help="the name of the managed identity"),
        Argument("--resource-group", required=True, metavar="GROUP", help="the resource group of the identity"),
        Argument("--subscription", metavar="ID", help="its subscription, unless the Azure CLI is set to it"),
        _deployment("--astro", "NAMESPACE", "an Astro deployment, by its namespace; may be repeated"),
        _deployment("--helm", "RELEASE", "a release of the official Helm chart, with --namespace; may be repeated"),
        _deployment("--service-account", "[NAMESPACE:]NAME", "any service account of Kubernetes; may be repeated"),
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
        Argument("--audience", help="the audience, where tokens are projected with another than the cloud's"),
        Argument("--format", choices=[*_RENDERERS, "json"], help="what to print (az unless given)"),
        Argument(
            "--check",
            metavar="FILE",
            help="print only what is missing, wrong or superfluous compared with FILE (- for standard input), the "
            "output of `az identity federated-credential list`",
        ),
        JSON,
    ),
)
