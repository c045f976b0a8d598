"""The credential: azure-identity's type, handing out the tokens that this process shares.

Importing this module imports azure-identity, so nothing does before a credential is built.
"""

from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.identity import WorkloadIdentityCredential

from airflow_azure_wi.auth.token_cache import SharedTokens, TokenRequest
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity


class SharedCredential(WorkloadIdentityCredential):
    """A ``WorkloadIdentityCredential`` whose access tokens everyone in the process shares.

    Closing it, or leaving a ``with`` block, does not end it: others may be using it. Pickled, it is ids, a path and
    a host, and no token.
    """

    def __init__(
        self, identity: WorkloadIdentity, deployment: Deployment, tokens: SharedTokens[AccessTokenInfo]
    ) -> None:
        # Not super().__init__(): it would build a second HTTP pipeline, which is never used. Exchanges have their own.
        self._identity = identity
        self._deployment = deployment
        self._tokens = tokens

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_: Any,
    ) -> AccessToken:
        """Return an access token, through at most one exchange at a time for all who ask for the same.

        :param scopes: the scopes, such as ``https://storage.azure.com/.default``; at least one.
        :param claims: a claims challenge of the service; it always makes a new exchange.
        :param tenant_id: the tenant, where it is another than the identity's.
        :param enable_cae: whether the caller handles continuous access evaluation.
        :raises TokenExchangeError: if Entra gives no token.
        :raises FederatedTokenError: if there is no usable federated token.
        """
        info = self._tokens.get(request_of(self._identity, scopes, claims, tenant_id, enable_cae))
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with all that Entra says of it; otherwise as :meth:`get_token`."""
        return self._tokens.get(request_of(self._identity, scopes, **known_options(options)))

    def close(self) -> None:
        """Leave it open for the others who use it."""

    def __enter__(self) -> "SharedCredential":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._identity, self._deployment)


def _unpickled(identity: WorkloadIdentity, deployment: Deployment) -> SharedCredential:
    from airflow_azure_wi.auth import credential_for

    return credential_for(identity, deployment, used_by="an unpickled credential")


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
