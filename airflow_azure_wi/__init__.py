"""One Airflow connection for every Azure service, with no secret in it.

``from airflow_azure_wi import AzureWorkloadIdentityHook`` costs nothing until the name is used: dag files are
parsed all day, and neither Airflow nor Azure is imported before it is needed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

__version__ = "0.1.0"

__all__ = ["AzureWorkloadIdentityHook", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "AzureWorkloadIdentityHook":
        from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook

        return AzureWorkloadIdentityHook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
