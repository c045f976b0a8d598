"""What Airflow loads in each of its processes: where the page is, and nothing of the page itself."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.provider import HOOK_NAME

if TYPE_CHECKING:
    from airflow.plugins_manager import AirflowPlugin
else:
    AirflowPlugin = airflow_compat.plugin_class()

# The last part of its address, both within Airflow's page and alone.
ROUTE = "azure-workload-identity"


class PageOnDemand:
    """The page's ASGI application, built for the first request: what it imports takes seconds."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if self._app is None:
            from airflow_azure_wi.page.app import build

            self._app = build()
        await self._app(scope, receive, send)


class AzureWorkloadIdentityPlugin(AirflowPlugin):
    """Adds the page where Airflow can show it, and nothing elsewhere."""

    name = "azure_workload_identity"
    # Airflow 3.0 would serve the page, but has no menu that leads to it; 2.11 knows neither of the two.
    if airflow_compat.shows_external_views(AirflowPlugin):
        fastapi_apps = [{"name": HOOK_NAME, "app": PageOnDemand(), "url_prefix": f"/{ROUTE}"}]
        external_views = [
            {
                "name": HOOK_NAME,
                # Relative, for an Airflow under a path; without the slash at its end Airflow answers with its own page.
                "href": f"{ROUTE}/",
                "url_route": ROUTE,
                "destination": "nav",
                "category": "admin",
            }
        ]
