"""The preflight: an operator that runs the doctor on a worker or in the triggerer, for deployments without a shell."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.airflow_compat import BaseOperator, BaseTrigger, TriggerEvent
from airflow_azure_wi.errors import WorkloadIdentityError
from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

if TYPE_CHECKING:
    from airflow_azure_wi.doctor import Report

# The XCom that holds the report of a task, as data.
REPORT = "report"


class PreflightError(WorkloadIdentityError):
    """A check of the doctor failed; the task's log holds the report."""


class AzureWorkloadIdentityPreflightOperator(BaseOperator):
    """Makes the doctor's checks, writes the report into the task's log, and fails if a check did.

    :param conn_id: the connection to sign in with.
    :param scopes: scopes to get a token for, besides that of Azure Resource Manager.
    :param subscription_id: a subscription that must be visible to the identity; none when empty.
    :param deferrable: examine in the triggerer instead of on the worker.
    """

    template_fields: Sequence[str] = ("conn_id", "scopes", "subscription_id")

    def __init__(
        self,
        *,
        conn_id: str = AzureWorkloadIdentityHook.default_conn_name,
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
        if self.deferrable:
            self.defer(
                trigger=AzureWorkloadIdentityPreflightTrigger(self.conn_id, self.scopes, self.subscription_id or None),
                method_name="execute_complete",
            )
        hook = AzureWorkloadIdentityHook(self.conn_id)
        try:
            report = hook.examine(scopes=self.scopes, subscription_id=self.subscription_id or None)
        except Exception as error:  # noqa: BLE001 - raised again, unless there is no such connection
            report = _missing(self.conn_id, error)
        self._conclude(context, report.as_json(), report.as_text())

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> None:
        """Write what the triggerer found."""
        self._conclude(context, event["report"], event["text"])

    def _conclude(self, context: Any, report: Mapping[str, Any], text: str) -> None:
        context["ti"].xcom_push(key=REPORT, value=report)
        # It is what the task is for, so it is in the log whatever the level there.
        self.log.log(max(logging.INFO, airflow_compat.logging_level()), "\n%s", text)
        if failed := [check["name"] for check in report["checks"] if check["status"] == "failed"]:
            raise PreflightError(f"{', '.join(failed)} failed: the report in this log says why, and what fixes it.")


def _missing(conn_id: str, error: Exception) -> "Report":
    """Return a report on a connection that is not there; raise any other error again."""
    if not airflow_compat.is_not_found(error):
        raise error
    from airflow_azure_wi.doctor import Report

    return Report.of_missing_connection(conn_id, str(error))


class _Event(TriggerEvent):
    """What the trigger fires with; Airflow logs each event in one line, and the report is in the log already."""

    def __repr__(self) -> str:
        return "TriggerEvent<the report, which the task writes into its log>"


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
        try:
            report = await hook.aexamine(scopes=self.scopes, subscription_id=self.subscription_id)
        except Exception as error:  # noqa: BLE001 - raised again, unless there is no such connection
            report = _missing(self.conn_id, error)
        yield _Event(payload={"report": report.as_json(), "text": report.as_text()})
