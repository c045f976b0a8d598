"""What a call of ``get_token`` or ``get_token_info`` asks for."""

from typing import Any

from azure.core.credentials import TokenRequestOptions

from airflow_azure_wi.credentials._sharing import TokenRequest
from airflow_azure_wi.identity import WorkloadIdentity


def request_of(
    identity: WorkloadIdentity,
    scopes: tuple[str, ...],
    claims: str | None = None,
    tenant_id: str | None = None,
    enable_cae: bool = False,
) -> TokenRequest:
    """Return what makes this call's token different from others, as ``get_token`` is given it.

    :raises ValueError: without a scope.
    """
    if not scopes:
        raise ValueError("A token is for a scope: name one, such as https://storage.azure.com/.default")
    # Clients that follow a challenge name the tenant, others do not; they mean the same token.
    elsewhere = tenant_id if tenant_id != identity.tenant_id else None
    return TokenRequest(scopes, elsewhere or None, claims or None, enable_cae)


def known_options(options: TokenRequestOptions | None) -> dict[str, Any]:
    """Return the options of ``get_token_info`` as arguments of :func:`request_of`."""
    options = options or {}
    return {name: options.get(name) for name in ("claims", "tenant_id")} | {
        "enable_cae": options.get("enable_cae", False)
    }
