"""The preflight: an operator that runs the doctor on a worker or in the triggerer, for deployments without a shell.

Each task leaves its report in the XCom ``report``, whether it succeeds or fails. It is a dictionary, as
``airflow-azure-wi doctor --json`` prints it: ``about``, ``ok``, ``signedIn`` (a sentence, or None), ``remark``, and in
``checks``, for each check in order, ``name``, ``status`` (ok, warning, failed or skipped), ``found``, ``nextStep`` and
``commands``. It holds no token.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.airflow_compat import BaseOperator, BaseTrigger, TriggerEvent
from airflow_azure_wi.errors import WorkloadIdentityError
from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook
from airflow_azure_wi.provider import CONNECTION_TYPE, README_CONNECTION

# The XCom that holds the report of a task, as data.
REPORT = "report"


class PreflightError(WorkloadIdentityError):
    """A check of the doctor failed; the task's log and its XCom hold the report."""


class AzureWorkloadIdentityPreflightOperator(BaseOperator):
    """Makes the doctor's checks, writes the report into the task's log and its XCom, and fails if a check did.

    :param conn_id: the connection to sign in with. When empty, it is the only one of type ``azure_workload_identity``
        that can be found, otherwise ``azure_wi``. Tasks of Airflow 3 cannot list the connections in Airflow's database:
        there, only environment variables and the ids of the documentation are looked at.
    :param scopes: scopes to get a token for, besides that of Azure Resource Manager.
    :param subscription_id: a subscription that must be visible to the identity; none when empty.
    :param deferrable: examine in the triggerer instead of on the worker.
    """

    template_fields: Sequence[str] = ("conn_id", "scopes", "subscription_id")

    def __init__(
        self,
        *,
        conn_id: str = "",
        scopes: Sequence[str] = (),
        subscription_id: str = "",
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.scopes = scopes
        self.subscription_id = subscription_id
        self.deferrable = deferrable

    def execute(self, context: Any) -> None:
        """Examine here, or let the triggerer do it."""
        conn_id = self.conn_id or _default_connection()
        if self.deferrable:
            self.defer(
                trigger=AzureWorkloadIdentityPreflightTrigger(conn_id, self.scopes, self.subscription_id or None),
                method_name="execute_complete",
            )
        hook = AzureWorkloadIdentityHook(conn_id)
        report = hook.examine(scopes=self.scopes, subscription_id=self.subscription_id or None)
        self._conclude(context, report.as_json(), report.as_text())

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> None:
        """Write what the triggerer found."""
        self._conclude(context, event["report"], event["text"])

    def _conclude(self, context: Any, report: Mapping[str, Any], text: str) -> None:
        from airflow_azure_wi.doctor.result import log_report

        context["ti"].xcom_push(key=REPORT, value=report)
        log_report(self.log, text, is_ok=report["ok"])
        if failed := [check["name"] for check in report["checks"] if check["status"] == "failed"]:
            raise PreflightError(f"{report['about']} failed: {', '.join(failed)}. The report above says what to do.")


class AzureWorkloadIdentityPreflightTrigger(BaseTrigger):
    """Makes the doctor's checks in the triggerer, and fires with what they found; arguments as of the operator."""

    def __init__(self, conn_id: str, scopes: Sequence[str] = (), subscription_id: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.scopes = tuple(scopes)
        self.subscription_id = subscription_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer builds the trigger from."""
        arguments = {"conn_id": self.conn_id, "scopes": list(self.scopes), "subscription_id": self.subscription_id}
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Examine once; the event holds the report, and no token."""
        hook = AzureWorkloadIdentityHook(self.conn_id)
        report = await hook.aexamine(scopes=self.scopes, subscription_id=self.subscription_id)
        yield TriggerEvent(_Found(report=report.as_json(), text=report.as_text()))  # type: ignore[no-untyped-call]


class _Found(dict[str, Any]):
    """What the trigger fires with; Airflow logs the ``repr`` of it, all in one line."""

    def __repr__(self) -> str:
        return "the report, which the task logs"


def _default_connection() -> str:
    """Return the id of the only connection of this type that can be found here, otherwise that of the README."""
    documented = (README_CONNECTION, AzureWorkloadIdentityHook.default_conn_name)
    listed = (*_in_environment(), *airflow_compat.ids_that_tasks_can_list(CONNECTION_TYPE))
    found = [conn_id for conn_id in dict.fromkeys((*documented, *listed)) if _is_of_this_type(conn_id)]
    return found[0] if len(found) == 1 else README_CONNECTION


def _in_environment() -> list[str]:
    """Return the ids of the connections in environment variables whose text names this type."""
    connections = {
        name.removeprefix("AIRFLOW_CONN_"): value.lower().replace("-", "_")
        for name, value in os.environ.items()
        if name.startswith("AIRFLOW_CONN_")
    }
    return [name.lower() for name, value in connections.items() if CONNECTION_TYPE in value]


def _is_of_this_type(conn_id: str) -> bool:
    try:
        return bool(AzureWorkloadIdentityHook.get_connection(conn_id).conn_type == CONNECTION_TYPE)
    except Exception as error:  # noqa: BLE001 - one that cannot be read is there, and the report says what is wrong
        return not airflow_compat.is_not_found(error)
