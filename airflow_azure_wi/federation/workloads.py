"""The workloads of a deployment: which service accounts Airflow runs as on Astro, with the Helm chart, and elsewhere.

The chart's rule is that of its templates: ``airflow.fullname`` and ``<component>.serviceAccountName`` in
https://github.com/apache/airflow/blob/main/chart/templates/_helpers.yaml, and for tasks
``chart/files/pod-template-file.kubernetes-helm-yaml``. Separate accounts of workers came with chart 1.21
(https://github.com/apache/airflow/pull/64730); what 1.21.0 did otherwise is in issues #66579 and #67261.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from airflow_azure_wi.errors import FederationError, Problem
from airflow_azure_wi.federation import SERVICE_ACCOUNT_PREFIX, FederatedIdentityCredential
from airflow_azure_wi.redaction import excerpt, quoted

# The four that Astro's own command links, under the names that it gives the credentials:
# https://github.com/astronomer/docs, learn/connections/entra-workload-identity.md
_ASTRO_COMPONENTS = ("scheduler", "triggerer", "worker")
_ASTRO_TASKS = "kpo"

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")

_CHART = "airflow"
_LONGEST_NAME = 63
_DEFAULT_ACCOUNT = "default"
_COMPONENTS_OF_CHART = ("scheduler", "triggerer", "dagProcessor", "apiServer", "webserver", "workers")
_DECIDING_KEYS = {"nameOverride", "fullnameOverride", "executor", "airflowVersion", *_COMPONENTS_OF_CHART}


@dataclass(frozen=True)
class Wording:
    """What messages call the things that a user can give. The defaults are the command line's options."""

    deployment: str = (
        "--astro NAMESPACE, --helm RELEASE --namespace NAME, --service-account NAMESPACE:NAME or --subject SUBJECT"
    )
    issuer: str = "--issuer URL"
    chart_values: str = "--chart-values FILE"
    service_account: str = "--service-account"
    check: str = "--check"


COMMAND_LINE = Wording()


@dataclass(frozen=True)
class Workloads:
    """The workloads of one deployment, on one cluster.

    :param title: the deployment, in messages.
    :param subjects: the subjects of its federated tokens.
    :param given_as: the arguments that name this deployment on the command line, except the issuer.
    :param names: the name of a subject's credential, where the platform has one for it.
    :param notes: what a user should know of how the subjects were found, a line each.
    :param problems: why they cannot be linked.
    :param is_accounts: whether these are just service accounts, to which others of their namespace may be added.
    """

    title: str
    subjects: tuple[str, ...]
    given_as: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    issuer: str = ""
    audience: str = ""
    is_accounts: bool = False

    def credentials(self) -> tuple[FederatedIdentityCredential, ...]:
        """Return the federated identity credentials that these workloads need, one each."""
        made = (FederatedIdentityCredential.of(self.issuer, subject, self.audience) for subject in self.subjects)
        return tuple(replace(each, name=self.names.get(each.subject, each.name)) for each in made)

    def with_more(self, other: "Workloads") -> "Workloads":
        """Return these workloads and others as one deployment."""
        return replace(
            self,
            subjects=self.subjects + other.subjects,
            given_as=self.given_as + other.given_as,
            notes=self.notes + other.notes,
            problems=self.problems + other.problems,
        )

    def part(self, first: int, count: int) -> "Workloads":
        """Return a part of these workloads, or all of them unchanged."""
        subjects = self.subjects[first : first + count]
        if subjects == self.subjects:
            return self
        return replace(self, subjects=subjects, given_as=_given("--subject", subjects))

    def service_accounts(self) -> Iterator[tuple[str, str]]:
        """Return namespace and name of those workloads that are service accounts of Kubernetes."""
        for subject in self.subjects:
            if subject.startswith(SERVICE_ACCOUNT_PREFIX) and subject.count(":") == 3:
                namespace, name = subject.removeprefix(SERVICE_ACCOUNT_PREFIX).split(":")
                yield namespace, name


def astro(namespace: str, also: Sequence[str] = ()) -> Workloads:
    """Return the workloads of an Astro deployment.

    :param also: further components, such as ``dag-processor``.
    """
    accounts = {
        f"{namespace}-{each}-serviceaccount": f"{namespace}-{each}"
        for each in dict.fromkeys((*_ASTRO_COMPONENTS, *also))
    }
    accounts[f"{namespace}-{_ASTRO_TASKS}"] = f"{namespace}-{_ASTRO_TASKS}"
    names = {subject_of(namespace, account): name for account, name in accounts.items()}
    given_as = ("--astro", namespace, *(("--also", ",".join(also)) if also else ()))
    problems = tuple(_problems_of_names(namespace, accounts, "namespace"))
    return Workloads(f"Astro deployment {namespace}", tuple(names), given_as, names, problems=problems)


def helm_release(
    name: str, namespace: str, values: Mapping[str, Any] | None = None, *, wording: Wording = COMMAND_LINE
) -> Workloads:
    """Return the workloads of a release of Airflow's official Helm chart.

    :param values: the user's values of the chart, from :func:`parse_values`, or None where they are not known.
    """
    release = Release(name, values, wording)
    accounts = release.names()
    given_as: tuple[str, ...] = ("--helm", name, "--namespace", namespace)
    if values is not None:
        # The file may be gone, or have been standard input.
        given_as = _given("--service-account", [f"{namespace}:{account}" for account in accounts])
    return Workloads(
        f"release {name} in namespace {namespace}",
        tuple(subject_of(namespace, account) for account in accounts),
        given_as,
        notes=tuple(release.summary()),
        problems=tuple(_problems_of_names(namespace, accounts, "release")),
    )


def service_accounts(namespace: str, *names: str) -> Workloads:
    """Return workloads that run as service accounts of a namespace."""
    return Workloads(
        f"namespace {namespace}",
        tuple(subject_of(namespace, name) for name in names),
        _given("--service-account", [f"{namespace}:{name}" for name in names]),
        notes=tuple(note for name in names for note in _warning_about_default(name, "Airflow")),
        problems=tuple(_problems_of_names(namespace, names, "service_account")),
        is_accounts=True,
    )


def split_account(name: str) -> tuple[str | None, str]:
    """Return namespace and name of ``[NAMESPACE:]NAME``, also with the prefix that it has in Entra's errors."""
    namespace, colon, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return (namespace, account) if colon else (None, name)


def workload_with_subject(subject: str) -> Workloads:
    """Return any other workload, by the subject of its federated tokens."""
    return Workloads(f"subject {subject}", (subject,), _given("--subject", [subject]))


def subject_of(namespace: str, service_account: str) -> str:
    """Return the subject of the tokens that Kubernetes signs for a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{service_account}"


def _given(option: str, values: Sequence[str]) -> tuple[str, ...]:
    # Joined, where argparse would take the value for another option.
    return tuple(part for each in values for part in ([f"{option}={each}"] if each[:1] == "-" else [option, each]))


def _problems_of_names(namespace: str, accounts: Iterable[str], field_of_accounts: str) -> Iterator[Problem]:
    """Say which names no Kubernetes cluster would have."""
    ending = "beginning and ending with a-z or 0-9"
    if not _LABEL.fullmatch(namespace):
        yield "namespace", f"The namespace is {quoted(namespace)}, expected up to 63 of a-z, 0-9 and -, {ending}"
    for account in accounts:
        if not _SUBDOMAIN.fullmatch(account):
            yield (
                field_of_accounts,
                f"The service account is {quoted(account)}, expected up to 253 of a-z, 0-9, - and ., {ending}",
            )


def parse_values(text: str, *, source: str) -> Mapping[str, Any]:
    """Read the user's values of the chart from YAML.

    :param source: where the text comes from, in messages.
    :raises FederationError: if it holds something else.
    """
    import yaml

    try:
        # What `helm get values` prints before the values, `USER-SUPPLIED VALUES:`, is a key without a value.
        values = yaml.safe_load(text.removeprefix("\ufeff")) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise FederationError([("chart_values", f"{source} is not YAML: {excerpt(str(error))}")]) from None
    if problems := problems_of_values(values):
        problem = f"{source} does not hold values of Airflow's chart: {'; '.join(problems)}"
        raise FederationError([("chart_values", problem)])
    return dict(values)


def problems_of_values(values: Any) -> Sequence[str]:
    """Say what has another shape than the chart's values, as far as it decides names."""
    if not isinstance(values, Mapping):
        return [f"it holds {_kind(values)}, expected the values of the chart"]
    problems = []
    paths = [*((key,) for key in _COMPONENTS_OF_CHART), ("workers", "celery"), ("workers", "kubernetes")]
    for path in paths:
        inner: Any = values
        keys = (*path, "serviceAccount")
        for depth, key in enumerate(keys, 1):
            inner = inner.get(key)
            if inner is None:
                break
            if not isinstance(inner, Mapping):
                problems.append(f"{'.'.join(keys[:depth])} is {_kind(inner)}, expected a mapping")
                break
    return list(dict.fromkeys(problems))


class Account(NamedTuple):
    """A service account of a release: what runs as it, and which value or rule its name comes from."""

    name: str
    component: str
    because: str


class Release:
    """The service accounts of a release of the chart, found in the user's values as the chart's templates do."""

    def __init__(self, name: str, values: Mapping[str, Any] | None, wording: Wording = COMMAND_LINE) -> None:
        self._is_assumed = values is None
        self._values = values or {}
        self._wording = wording
        self._executor = str(self._values.get("executor") or "CeleryExecutor")
        self.full_name, self._rule = _full_name(name, self._values)

    def names(self) -> tuple[str, ...]:
        """Return the names of the accounts, each once, in the order in which they are linked."""
        return tuple(dict.fromkeys(account.name for account in self.accounts()))

    def summary(self) -> Iterator[str]:
        """Return a line for each account and each note."""
        for account in self.accounts():
            yield f"{quoted(account.name)}: {account.component} ({account.because})"
            yield from _warning_about_default(account.name, account.component)
        yield from self.notes()

    def accounts(self) -> Iterator[Account]:
        """Return the account of each component that runs."""
        version = re.match(r"\s*v?(\d+)", str(self._values.get("airflowVersion") or "3"))
        is_airflow_3 = version is None or int(version.group(1)) >= 3
        yield from self._component("scheduler", "scheduler")
        yield from self._component("triggerer", "triggerer")
        yield from self._workers()
        # Airflow 2 runs a separate DAG processor only where the values ask for it.
        yield from self._component("dagProcessor", "dag-processor", is_default=is_airflow_3)
        yield from (
            self._component("apiServer", "api-server") if is_airflow_3 else self._component("webserver", "webserver")
        )

    def notes(self) -> Iterator[str]:
        """Say what was assumed, and what was left out."""
        workers = _section(self._values, "workers")
        account = _section(workers, "kubernetes", "serviceAccount")
        if self._is_assumed:
            yield (
                "Assumed: Airflow 3 and the chart's defaults. If the release sets its own values, give them with "
                f"{self._wording.chart_values} (`helm get values RELEASE --all`)."
            )
        if not ("Celery" in self._executor or "KubernetesExecutor" in self._executor):
            yield f"executor is {quoted(self._executor)}: tasks run in the scheduler, and there is no worker to link."
        if (
            account.get("name")
            and account.get("create") is None
            and not workers.get("useWorkerDedicatedServiceAccounts")
        ):
            yield "workers.kubernetes.serviceAccount.name is not used: the chart reads it only together with create."
        if _section(workers, "celery").get("sets"):
            yield (
                "workers.celery.sets is not read: add the service accounts of the sets with "
                f"{self._wording.service_account}."
            )
        if self._values.get("podTemplate"):
            yield (
                "podTemplate is not read: if it sets a serviceAccountName, add that with "
                f"{self._wording.service_account}."
            )
        if self._values and not _DECIDING_KEYS & set(self._values):
            yield (
                "No key in the values decides the name of a service account. If the chart is a dependency of your own "
                "chart, give only the values under its name."
            )

    def _component(self, key: str, component: str, *, is_default: bool = True) -> Iterator[Account]:
        values = _section(self._values, key)
        is_enabled = values.get("enabled")
        if key == "scheduler" or (is_default if is_enabled is None else is_enabled):
            yield self._account(component, component, _section(values, "serviceAccount"), key)

    def _workers(self) -> Iterator[Account]:
        workers = _section(self._values, "workers")
        shared = _section(workers, "serviceAccount")
        is_dedicated = bool(workers.get("useWorkerDedicatedServiceAccounts"))
        if "Celery" in self._executor:
            own = _set_fields(_section(workers, "celery", "serviceAccount"))
            component = "Celery workers" if self._values else "workers"
            if is_dedicated:
                yield self._account(component, "worker-celery", own, "workers.celery")
            else:
                key = "workers.celery" if own else "workers"
                yield self._account(component, "worker", {**shared, **own}, key)
        if "KubernetesExecutor" in self._executor:
            own = _set_fields(_section(workers, "kubernetes", "serviceAccount"))
            if is_dedicated or "create" in own:
                yield self._account("tasks in pods", "worker-kubernetes", own, "workers.kubernetes")
            else:
                yield self._account("tasks in pods", "worker", shared, "workers")

    def _account(self, component: str, suffix: str, account: Mapping[str, Any], key: str) -> Account:
        if name := account.get("name"):
            return Account(str(name), component, f"{key}.serviceAccount.name")
        if account.get("create", True):
            return Account(f"{self.full_name}-{suffix}", component, self._rule)
        return Account(_DEFAULT_ACCOUNT, component, f"{key}.serviceAccount.create is false, and no name is set")


def _full_name(release: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the names of a release's service accounts begin with, and the rule by which it does."""
    if override := values.get("fullnameOverride"):
        name, rule = str(override), "fullnameOverride"
    else:
        part = str(values.get("nameOverride") or _CHART)
        origin = "nameOverride" if values.get("nameOverride") else "the chart's name"
        is_contained = part in release
        name = release if is_contained else f"{release}-{part}"
        rule = f"the release's name, which contains {origin}" if is_contained else f"the release's name and {origin}"
    return name[:_LONGEST_NAME].removesuffix("-"), rule


def _warning_about_default(account: str, component: str) -> Iterator[str]:
    """Warn about the service account of pods that name none.

    :param component: what should have a separate one.
    """
    if account == _DEFAULT_ACCOUNT:
        yield (
            f"Warning: {quoted(account)} is the service account of every pod in the namespace that names no other, so "
            f"all of them could sign in. Use a separate service account for {component} (with the chart: "
            "serviceAccount.create or serviceAccount.name)."
        )


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else quoted(value)


def _section(values: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        section = values.get(key)
        values = section if isinstance(section, Mapping) else {}
    return values


def _set_fields(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set under ``workers.celery`` or ``workers.kubernetes``, where null means unset."""
    return {name: value for name, value in account.items() if value is not None and name in ("create", "name")}
