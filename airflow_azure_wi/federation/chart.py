"""Which service accounts Airflow's official Helm chart gives its components, from the user's own values.

The rule is that of the templates: ``airflow.fullname`` and ``<component>.serviceAccountName`` in
https://github.com/apache/airflow/blob/main/chart/templates/_helpers.yaml, and for tasks
``chart/files/pod-template-file.kubernetes-helm-yaml``. Separate accounts of workers came with chart 1.21
(https://github.com/apache/airflow/pull/64730); what 1.21.0 did otherwise is in issues #66579 and #67261.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.redaction import quoted

_CHART = "airflow"
_LONGEST_NAME = 63
_DEFAULT_EXECUTOR = "CeleryExecutor"
_DEFAULT_ACCOUNT = "default"

_DECIDING_KEYS = frozenset(
    {
        *("nameOverride", "fullnameOverride", "executor", "airflowVersion", "scheduler", "triggerer", "workers"),
        *("dagProcessor", "apiServer", "webserver"),
    }
)


@dataclass(frozen=True)
class Account:
    """A service account of a release.

    :param name: its name.
    :param component: what runs as it.
    :param because: which value or rule its name comes from.
    """

    name: str
    component: str
    because: str


@dataclass(frozen=True)
class Release:
    """The service accounts of a release, and what a user should know of them.

    :param accounts: in the order in which they are linked.
    :param notes: what was assumed.
    """

    accounts: tuple[Account, ...]
    notes: tuple[str, ...]

    def names(self) -> tuple[str, ...]:
        """Return the names of the accounts, each once."""
        return tuple(dict.fromkeys(account.name for account in self.accounts))

    def summary(self) -> Iterator[str]:
        """Return a line for each account and each note."""
        for account in self.accounts:
            yield f"{quoted(account.name)}: {account.component} ({account.because})"
            yield from warning_about_default(account.name, account.component)
        yield from self.notes


def full_name(release: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the names of a release's service accounts begin with, and the rule by which it does."""
    if override := values.get("fullnameOverride"):
        return _cut(str(override)), "fullnameOverride"
    name = str(values.get("nameOverride") or _CHART)
    origin = "nameOverride" if values.get("nameOverride") else "the chart's name"
    if name in release:
        return _cut(release), f"the release's name, which contains {origin}"
    return _cut(f"{release}-{name}"), f"the release's name and {origin}"


def release_of(name: str, values: Mapping[str, Any] | None) -> Release:
    """Return the service accounts of a release.

    :param values: the user's values of the chart, or None where they are not known.
    """
    chart = _Chart(name, values or {})
    notes = [*chart.notes()]
    if values is None:
        notes.insert(
            0,
            "Assumed: Airflow 3 and the chart's defaults. If the release has values of its own, give them with "
            "--chart-values FILE (`helm get values RELEASE --all`).",
        )
    return Release(tuple(chart.accounts()), tuple(notes))


class _Chart:
    """Reads the user's values as the chart's templates do."""

    def __init__(self, release: str, values: Mapping[str, Any]) -> None:
        self._values = values
        self._full_name, self._rule = full_name(release, values)
        self._executor = str(values.get("executor") or _DEFAULT_EXECUTOR)

    def accounts(self) -> Iterator[Account]:
        yield self._component("scheduler", "scheduler")
        if self._is_enabled("triggerer", otherwise=True):
            yield self._component("triggerer", "triggerer")
        yield from self._workers()
        is_airflow_3 = self._is_airflow_3()
        # Airflow 2 has a DAG processor of its own only where the values ask for it.
        if self._is_enabled("dagProcessor", otherwise=is_airflow_3):
            yield self._component("dagProcessor", "dag-processor")
        key, component = ("apiServer", "api-server") if is_airflow_3 else ("webserver", "webserver")
        if self._is_enabled(key, otherwise=True):
            yield self._component(key, component)

    def notes(self) -> Iterator[str]:
        workers = _section(self._values, "workers")
        if not ("Celery" in self._executor or "KubernetesExecutor" in self._executor):
            yield f"executor is {quoted(self._executor)}: tasks run in the scheduler, and there is no worker to link."
        own = _section(_section(workers, "kubernetes"), "serviceAccount")
        if own.get("name") and own.get("create") is None and not workers.get("useWorkerDedicatedServiceAccounts"):
            yield ("workers.kubernetes.serviceAccount.name is not used: the chart reads it only beside create.")
        if _section(workers, "celery").get("sets"):
            yield "workers.celery.sets is not read: name the service accounts of the sets with --service-account."
        if self._values.get("podTemplate"):
            yield (
                "podTemplate is not read: if it has a serviceAccountName of its own, link that with --service-account."
            )
        if self._values and not _DECIDING_KEYS & set(self._values):
            yield (
                "The values hold no key that decides names of service accounts. If the chart is a dependency of yours, "
                "give what is under its name."
            )

    def _component(self, key: str, component: str) -> Account:
        return self._account(component, component, _section(_section(self._values, key), "serviceAccount"), key)

    def _account(self, component: str, suffix: str, account: Mapping[str, Any], key: str) -> Account:
        name = account.get("name")
        if name:
            return Account(str(name), component, f"{key}.serviceAccount.name")
        if account.get("create", True):
            return Account(f"{self._full_name}-{suffix}", component, self._rule)
        return Account(_DEFAULT_ACCOUNT, component, f"{key}.serviceAccount.create is off, and there is no name")

    def _workers(self) -> Iterator[Account]:
        workers = _section(self._values, "workers")
        shared = _section(workers, "serviceAccount")
        is_dedicated = bool(workers.get("useWorkerDedicatedServiceAccounts"))
        if "Celery" in self._executor:
            own = _set_fields(_section(_section(workers, "celery"), "serviceAccount"))
            component = "Celery workers" if self._values else "workers"
            if is_dedicated:
                yield self._account(component, "worker-celery", own, "workers.celery")
            else:
                key = "workers.celery" if own else "workers"
                yield self._account(component, "worker", {**shared, **own}, key)
        if "KubernetesExecutor" in self._executor:
            own = _set_fields(_section(_section(workers, "kubernetes"), "serviceAccount"))
            if is_dedicated or "create" in own:
                yield self._account("tasks in pods", "worker-kubernetes", own, "workers.kubernetes")
            else:
                yield self._account("tasks in pods", "worker", shared, "workers")

    def _is_airflow_3(self) -> bool:
        version = re.match(r"\s*v?(\d+)", str(self._values.get("airflowVersion") or "3"))
        return version is None or int(version.group(1)) >= 3

    def _is_enabled(self, key: str, *, otherwise: bool) -> bool:
        enabled = _section(self._values, key).get("enabled")
        return otherwise if enabled is None else bool(enabled)


def warning_about_default(account: str, component: str) -> Iterator[str]:
    """Warn of a service account that a namespace's pods have where they name none.

    :param component: what should have a separate one.
    """
    if account == _DEFAULT_ACCOUNT:
        yield (
            f"Warning: {quoted(account)} is the service account of every pod in the namespace that names no other, and "
            f"all of them can sign in then. Use a separate service account for {component} (with the chart: "
            "serviceAccount.create or serviceAccount.name)."
        )


def problems_of_values(values: Any) -> Sequence[str]:
    """Say what in a values file has another shape than the chart's values, as far as it decides names."""
    if not isinstance(values, Mapping):
        return [f"it holds {_kind(values)}, expected the values of the chart"]
    problems = []
    for path in (
        *(("scheduler",), ("triggerer",), ("dagProcessor",), ("apiServer",), ("webserver",), ("workers",)),
        *(("workers", "celery"), ("workers", "kubernetes")),
    ):
        inner: Any = values
        for depth, key in enumerate([*path, "serviceAccount"], 1):
            inner = inner.get(key)
            if inner is None:
                break
            if not isinstance(inner, Mapping):
                problems.append(f"{'.'.join([*path, 'serviceAccount'][:depth])} is {_kind(inner)}, expected a mapping")
                break
    return list(dict.fromkeys(problems))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else quoted(value)


def _cut(name: str) -> str:
    return name[:_LONGEST_NAME].removesuffix("-")


def _section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = values.get(key)
    return section if isinstance(section, Mapping) else {}


def _set_fields(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set under ``workers.celery`` or ``workers.kubernetes``, where null means unset."""
    return {name: value for name, value in account.items() if value is not None and name in ("create", "name")}
