"""``link``: print the commands that link workloads to a managed identity, or to an application."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from airflow_azure_wi.cli.command import (
    FAILED,
    JSON,
    OK,
    OVER_LIMIT,
    Argument,
    Command,
    UsageError,
    cloud,
    output_format_of,
    read_text,
)
from airflow_azure_wi.clouds import PUBLIC, names_of_clouds
from airflow_azure_wi.errors import FederationError, Problem
from airflow_azure_wi.federation import Application, Holder, IdentityResource, az, workloads
from airflow_azure_wi.federation.comparison import parse_list
from airflow_azure_wi.federation.proposal import FORMATS, NO_BICEP, complete_deployments, notes_of, propose
from airflow_azure_wi.federation.workloads import Workloads
from airflow_azure_wi.redaction import quoted

_ASTRO, _HELM, _SERVICE_ACCOUNT, _SUBJECT = "--astro", "--helm", "--service-account", "--subject"

_T = TypeVar("_T")

_DESCRIPTION = """\
Prints the commands that link Airflow's workloads to a managed identity (or, for
another tenant, to an application): a federated identity credential for each,
with exactly the issuer, subject and audience of the workload's federated token.
Nothing changes until you run them.

You can name several deployments. If you name none, inside a workload, it links
that workload: issuer and subject are read from its federated token.
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
    output_format = output_format_of(arguments, default="az")
    # Problems are printed as JSON then, too.
    arguments.json = output_format == "json"
    if output_format == "bicep" and arguments.application:
        raise UsageError(f"--format bicep is for managed identities: {NO_BICEP}. Use --format terraform or az.")
    holder = _holder(arguments)
    problems = [*_problems_of_options(arguments)]
    deployments = [*_deployments(arguments)]
    if arguments.binding:
        return _bind(arguments, holder, deployments, problems)
    proposal = propose(
        holder,
        deployments,
        arguments.issuer,
        cloud=arguments.cloud,
        audience=arguments.audience,
        problems=problems,
    )
    if arguments.check:
        text, source = read_text(arguments.check)
        proposal = proposal.compared_with(parse_list(text, source=source))
    is_over_limit = proposal.quota.is_exceeded
    if output_format == "json":
        print(proposal.render("json"), end="")
    elif is_over_limit:
        # To standard error, so that no shell runs it by mistake.
        _say(proposal.ways_out())
    else:
        text = proposal.render(output_format)
        # First the warnings, then what they warn of.
        _say(proposal.notes)
        print(text, end="", flush=True)
        _say(proposal.outlook(output_format))
    if is_over_limit:
        return OVER_LIMIT
    return OK if proposal.comparison is None or proposal.comparison.is_clean else FAILED


def _bind(arguments: argparse.Namespace, holder: Holder, deployments: list[Workloads], problems: list[Problem]) -> int:
    """Print an identity binding."""
    if isinstance(holder, Application):
        raise UsageError(
            "--binding binds a managed identity, not an application: identity bindings of AKS support nothing else."
        )
    found = [*holder.problems(), *problems]
    # Identity bindings need no issuer: AKS makes the credential itself.
    deployments = complete_deployments(deployments, [""], problems=found)
    if not (arguments.cluster and arguments.cluster_group):
        found.append(("cluster", "--binding binds to an AKS cluster: add --cluster NAME and --cluster-group GROUP"))
    if found:
        raise FederationError(found)
    script = az.binding_script(holder, deployments, az.Cluster(arguments.cluster, arguments.cluster_group))
    print(json.dumps({"identityBinding": script}, indent=2) if arguments.json else script)
    _say(notes_of(deployments))
    return OK


def _holder(arguments: argparse.Namespace) -> Holder:
    """Return who holds the credentials."""
    named = {
        "--identity-name": arguments.identity_name,
        "--resource-group": arguments.resource_group,
        "--subscription": arguments.subscription,
    }
    if arguments.application:
        if given := [option for option, value in named.items() if value]:
            raise UsageError(f"--application and {given[0]} are mutually exclusive: give one of them.")
        return Application(arguments.application, arguments.tenant)
    if arguments.tenant:
        raise UsageError("--tenant is the other tenant of an application: add --application ID.")
    if missing := [option for option in ("--identity-name", "--resource-group") if not named[option]]:
        raise UsageError(
            f"{' and '.join(missing)} missing: name the managed identity with --identity-name NAME and "
            "--resource-group GROUP, or an application with --application ID."
        )
    return IdentityResource(arguments.identity_name, arguments.resource_group, arguments.subscription)


def _deployments(arguments: argparse.Namespace) -> Iterator[Workloads]:
    """Return the deployments that the arguments name, in their order."""
    releases = sum(option == _HELM for option, _ in arguments.deployments)
    values = iter(_one_each([_values(file) for file in arguments.chart_values] if releases else [], releases))
    namespaces = iter(_one_each(arguments.namespace, releases))
    also = [name.strip() for names in arguments.also for name in names.split(",") if name.strip()]
    for option, name in arguments.deployments:
        if option == _ASTRO:
            yield workloads.astro(name, also)
        elif option == _SUBJECT:
            yield workloads.workload_with_subject(name)
        elif option == _HELM:
            namespace, values_of_release = next(namespaces, None), next(values, None)
            if namespace is None:
                yield _without_namespace(option, name)
            else:
                yield workloads.helm_release(name, namespace, values_of_release)
        else:
            own_namespace, account = workloads.split_account(name)
            namespace = own_namespace if own_namespace is not None else next(iter(arguments.namespace), None)
            if namespace is None:
                yield _without_namespace(option, name)
            else:
                yield workloads.service_accounts(namespace, account)


def _without_namespace(option: str, name: str) -> Workloads:
    problem = f"{option} {quoted(name)} needs a namespace: add --namespace NAME"
    return Workloads(name, (), problems=(("namespace", problem),))


def _one_each(given: Sequence[_T], count: int) -> Sequence[_T]:
    return [*given] * count if len(given) == 1 else given


def _problems_of_options(arguments: argparse.Namespace) -> Iterator[Problem]:
    """Say which options do not fit the others."""
    options = [option for option, _ in arguments.deployments]
    if not options and arguments.namespace:
        yield "namespace", "--namespace is given alone: add --helm RELEASE or --service-account NAME"
    if options and arguments.also and _ASTRO not in options:
        yield "also", "--also names further components of an Astro deployment: add --astro NAMESPACE"
    releases = options.count(_HELM)
    if options and arguments.chart_values and not releases:
        yield "chart_values", "--chart-values are those of a release of the Helm chart: add --helm RELEASE"
    for option, count in (("--namespace", len(arguments.namespace)), ("--chart-values", len(arguments.chart_values))):
        if releases and count not in (0, 1, releases):
            yield (
                option,
                f"{option} is given {count} times for {releases} releases: give it once for all, or once for each "
                "--helm in the same order",
            )


def _values(file: str) -> Mapping[str, Any]:
    text, source = read_text(file)
    return workloads.parse_values(text, source=source)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


class _InOrder(argparse.Action):
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


def _deployment(flag: str, metavar: str, text: str) -> Argument:
    return Argument(flag, dest="deployments", action=_InOrder, default=(), metavar=metavar, help=text)


COMMAND = Command(
    name="link",
    help="print the commands that link workloads to a managed identity",
    description=_DESCRIPTION,
    usage="--identity-name NAME --resource-group GROUP\n           [DEPLOYMENT ...] [OPTION ...]",
    examples=_EXAMPLES,
    run=run,
    arguments=(
        Argument("--identity-name", metavar="NAME", help="the name of the managed identity"),
        Argument("--resource-group", metavar="GROUP", help="the resource group of the identity"),
        Argument("--subscription", metavar="ID", help="its subscription, if the Azure CLI is set to another"),
        Argument("--application", metavar="ID", help="an application instead, by its client id: for another tenant"),
        Argument("--tenant", metavar="TENANT", help="with --application, the other tenant that it signs in to"),
        _deployment(_ASTRO, "NAMESPACE", "an Astro deployment, by its namespace; may be repeated"),
        Argument(
            "--also",
            action="append",
            default=[],
            metavar="COMPONENTS",
            help="further components of Astro deployments besides scheduler, triggerer, worker and kpo, such as "
            "dag-processor,apiserver",
        ),
        _deployment(_HELM, "RELEASE", "a release of the official Helm chart, with --namespace; may be repeated"),
        Argument(
            "--chart-values",
            action="append",
            default=[],
            metavar="FILE",
            help="your values for the chart (- for standard input), which decide the names of its service accounts; "
            "one file for all releases, or one for each, in order",
        ),
        _deployment(
            _SERVICE_ACCOUNT,
            "[NAMESPACE:]NAME",
            "any service account of Kubernetes, also as system:serviceaccount:NAMESPACE:NAME; may be repeated",
        ),
        _deployment(
            _SUBJECT, "SUBJECT", "any other workload, by the subject of its tokens (SPIFFE, GitHub); may be repeated"
        ),
        Argument(
            "--namespace",
            action="append",
            default=[],
            metavar="NAME",
            help="the namespace of releases and service accounts; one for all, or one for each release, in order",
        ),
        Argument(
            "--issuer",
            action="append",
            default=[],
            metavar="URL",
            help="the cluster's OIDC issuer; one for all, or one for each deployment, in order (default: inside a "
            "workload, that of its own token)",
        ),
        Argument(
            "--cloud",
            type=cloud,
            metavar="NAME",
            default=PUBLIC,
            help=f"decides the audience: {names_of_clouds()} (default: {PUBLIC.name})",
        ),
        Argument("--audience", help="the audience of the projected tokens, if it is not the cloud's"),
        Argument("--format", choices=FORMATS, help="what to print (default: az)"),
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
