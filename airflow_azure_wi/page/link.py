"""Step 1 of the page: what links a deployment to an identity, from the fields of its form."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, Field

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.clouds import PUBLIC, cloud_named
from airflow_azure_wi.errors import DeploymentError, FederatedTokenError, FederationError
from airflow_azure_wi.federation import SERVICE_ACCOUNT_PREFIX, Application, Holder, IdentityResource, workloads
from airflow_azure_wi.federation.proposal import FORMATS, Proposal, propose
from airflow_azure_wi.federation.workloads import Wording, Workloads
from airflow_azure_wi.tokens import read_federated_token

_LONGEST = 1000
_LONGEST_AREA = 500_000

# What messages call the fields of the form.
WORDING = Wording(
    deployment="a Helm release, an Astro deployment or service accounts",
    issuer="the OIDC issuer",
    chart_values="Values of the chart",
    service_account="Service accounts",
    check="airflow-azure-wi link --check",
)

# What a form has to hold, by what is chosen in it.
_REQUIRED = {
    "identity": ("identity_name", "resource_group"),
    "application": ("application",),
    "this": (),
    "astro": ("namespace", "issuer"),
    "helm": ("release", "namespace", "issuer"),
    "accounts": ("service_account", "namespace", "issuer"),
}


class Asked(BaseModel):
    """The fields of the form, as they stand in it."""

    holder: Literal["identity", "application"] = "identity"
    identity_name: str = Field(default="", max_length=_LONGEST)
    resource_group: str = Field(default="", max_length=_LONGEST)
    subscription: str = Field(default="", max_length=_LONGEST)
    application: str = Field(default="", max_length=_LONGEST)
    tenant: str = Field(default="", max_length=_LONGEST)
    what: Literal["this", "astro", "helm", "accounts"] = "this"
    release: str = Field(default="", max_length=_LONGEST)
    namespace: str = Field(default="", max_length=_LONGEST)
    chart_values: str = Field(default="", max_length=_LONGEST_AREA)
    service_account: str = Field(default="", max_length=_LONGEST_AREA)
    issuer: str = Field(default="", max_length=_LONGEST)
    cloud: str = Field(default="", max_length=_LONGEST)

    def missing(self) -> list[str]:
        """Return the fields that are still to be filled in."""
        required = [*_REQUIRED[self.holder], *_REQUIRED[self.what]]
        if self.what == "accounts" and self._accounts() and all(":" in name for name in self._accounts()):
            required.remove("namespace")
        return [name for name in required if not getattr(self, name).strip()]

    def identity(self) -> Holder:
        """Return what is to hold the credentials."""
        if self.holder == "application":
            return Application(self.application.strip(), self.tenant.strip() or None)
        where = self.identity_name.strip(), self.resource_group.strip()
        return IdentityResource(*where, self.subscription.strip() or None)

    def deployments(self, here: "Here | None") -> Iterator[Workloads]:
        """Return what is to be linked.

        :param here: the deployment of this process, if that is what is to be linked.
        :raises FederationError: if the values of the chart are not that.
        """
        namespace = self.namespace.strip()
        if self.what == "astro":
            yield workloads.astro(namespace)
        elif self.what == "helm":
            text = self.chart_values
            values = workloads.parse_values(text, source="What is pasted") if text.strip() else None
            yield workloads.helm_release(self.release.strip(), namespace, values, wording=WORDING)
        elif self.what == "accounts":
            for name in self._accounts():
                own_namespace, account = workloads.split_account(name)
                yield workloads.service_accounts(namespace if own_namespace is None else own_namespace, account)
        elif here:
            yield here.workloads

    def issuers(self, here: "Here | None") -> list[str]:
        """Return the issuer of all that is to be linked."""
        if self.what != "this":
            return [self.issuer.strip()]
        return [here.issuer] if here else []

    def _accounts(self) -> list[str]:
        return self.service_account.replace(",", " ").split()


def answer(asked: Asked) -> dict[str, Any]:
    """Return what links the workloads, in each format, or what is missing and wrong, by field."""
    problems: dict[str, list[str]] = {}
    if missing := asked.missing():
        return {"missing": missing, "problems": problems}
    cloud = cloud_named(asked.cloud) or PUBLIC
    here = this_deployment() if asked.what == "this" else None
    try:
        deployments = [*asked.deployments(here)]
        proposal = propose(asked.identity(), deployments, asked.issuers(here), cloud=cloud, wording=WORDING)
    except FederationError as error:
        return {"missing": [], "problems": error.by_field}
    return {"missing": [], "problems": problems} | _shown(proposal)


def _shown(proposal: Proposal) -> dict[str, Any]:
    quota = proposal.quota
    summary, *outlook = proposal.outlook()
    shown = {
        "quota": {"used": quota.used, "limit": quota.limit, "summary": summary},
        "notes": [note.strip() for note in proposal.notes],
    }
    if quota.is_exceeded:
        return shown | {"outputs": {"az": "\n".join(proposal.ways_out()) + "\n"}, "outlook": []}
    formats = [each for each in FORMATS if each != "bicep" or isinstance(proposal.holder, IdentityResource)]
    return shown | {"outputs": {each: proposal.render(each) for each in formats}, "outlook": outlook}


@dataclass(frozen=True)
class Here:
    """The deployment that serves the page, as the federated token of this process tells.

    :param accounts: its service accounts, as far as their names follow from that of this process.
    """

    issuer: str
    namespace: str
    accounts: tuple[str, ...]
    workloads: Workloads


def this_deployment() -> Here | None:
    """Return the deployment of this process, or None where it has no federated token of a service account."""
    try:
        deployment = airflow_compat.deployment()
        token = read_federated_token(deployment.token_file, named_by=deployment.token_file_named_by)
    except (DeploymentError, FederatedTokenError):
        return None
    namespace, colon, account = token.subject.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    if not (colon and token.subject.startswith(SERVICE_ACCOUNT_PREFIX)):
        return None
    found = _around(namespace, account)
    accounts = tuple(name for _, name in found.service_accounts())
    return Here(token.issuer, namespace, accounts, found)


def _around(namespace: str, account: str) -> Workloads:
    """Return the workloads of the deployment that one of its service accounts belongs to."""
    if account.startswith(f"{namespace}-") and account.endswith("-serviceaccount"):
        return _with(account, namespace, workloads.astro(namespace))
    for component in ("-api-server", "-scheduler", "-triggerer", "-dag-processor", "-worker"):
        if account.endswith(component):
            name = account.removesuffix(component)
            values = {"fullnameOverride": name, "executor": airflow_compat.executor()}
            # That the name is overridden is an assumption of this function, and nothing to tell a user.
            return _with(account, namespace, replace(workloads.helm_release(name, namespace, values), notes=()))
    return workloads.service_accounts(namespace, account)


def _with(account: str, namespace: str, found: Workloads) -> Workloads:
    """Return the workloads with this process' own, which signs in when the page checks a connection."""
    own = workloads.subject_of(namespace, account)
    return replace(found, subjects=tuple(dict.fromkeys((*found.subjects, own))))
