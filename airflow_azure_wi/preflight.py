"""The preflight: an operator that runs the doctor on a worker or in the triggerer, for deployments without a shell."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow_azure_wi.airflow_compat import BaseOperator, BaseTrigger, TriggerEvent
from airflow_azure_wi.errors import WorkloadIdentityError
from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

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
        report = hook.examine(scopes=self.scopes, subscription_id=self.subscription_id or None)
        self._conclude(context, report.as_json(), report.as_text(), report.short())

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> None:
        """Write what the triggerer found."""
        self._conclude(context, event["report"], event["text"], event["short"])

    def _conclude(self, context: Any, report: Mapping[str, Any], text: str, short: str) -> None:
        context["ti"].xcom_push(key=REPORT, value=report)
        self.log.info("\n%s", text)
        if not report["ok"]:
            raise PreflightError(short)


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
        found = {"report": report.as_json(), "short": report.short(), "text": report.as_text()}
        yield TriggerEvent(found)  # type: ignore[no-untyped-call]
