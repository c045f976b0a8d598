"""One Airflow connection for every Azure service, with no secret in it.

``from airflow_azure_wi import AzureWorkloadIdentityHook, at`` costs nothing until the names are used: dag files are
parsed all day, and neither Airflow nor Azure is imported before it is needed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_azure_wi.endpoints import at
    from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

__version__ = "0.1.0"

__all__ = ["AzureWorkloadIdentityHook", "__version__", "at"]


def __getattr__(name: str) -> Any:
    if name == "AzureWorkloadIdentityHook":
        from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

        return AzureWorkloadIdentityHook
    if name == "at":
        from airflow_azure_wi.endpoints import at

        return at
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
