"""The trigger behind the preflight operator: examines a sign-in where the triggerer runs."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook


class AzureWorkloadIdentityPreflightTrigger(BaseTrigger):
    """Makes the doctor's checks in the triggerer, and fires with what they found.

    :param conn_id: the connection to sign in with.
    :param scopes: scopes to get a token for, besides that of Azure Resource Manager.
    :param subscription_id: a subscription that must be visible to the identity.
    """

    def __init__(self, conn_id: str, scopes: Sequence[str] = (), subscription_id: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.scopes = tuple(scopes)
        self.subscription_id = subscription_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer builds the trigger from."""
        arguments = {
            "conn_id": self.conn_id,
            "scopes": list(self.scopes),
            "subscription_id": self.subscription_id,
        }
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Examine once; the event holds the report, and no token."""
        from airflow_azure_wi.doctor import text

        hook = AzureWorkloadIdentityHook(self.conn_id)
        report = await hook.aexamine(scopes=self.scopes, subscription_id=self.subscription_id)
        found = {"ok": report.is_ok, "short": report.short(), "text": text.render(report)}
        yield TriggerEvent(found)  # type: ignore[no-untyped-call]
