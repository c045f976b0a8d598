"""The credentials themselves: azure-identity's types, handing out the tokens that this process shares.

Importing this module imports azure-identity, so nothing does before a credential is built.
"""

from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.identity import WorkloadIdentityCredential
from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential

from airflow_azure_wi.credentials._sharing import SharedTokens, TokenRequest
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity

Tokens = SharedTokens[AccessTokenInfo]


class SharedCredential(WorkloadIdentityCredential):
    """A ``WorkloadIdentityCredential`` whose access tokens everyone in the process shares.

    Closing it, or leaving a ``with`` block, does not end it: others may be using it. Pickled, it is ids, a path and
    a host, and no token.
    """

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment, tokens: Tokens) -> None:
        super().__init__(
            tenant_id=identity.tenant_id,
            client_id=identity.client_id,
            token_file_path=str(deployment.token_file),
            authority=deployment.authority_host_for(identity.cloud),
        )
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
        info = self._tokens.get(_request(self._identity, scopes, claims, tenant_id, enable_cae))
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with all that Entra says of it; otherwise as :meth:`get_token`."""
        return self._tokens.get(_request(self._identity, scopes, **_known(options)))

    def close(self) -> None:
        """Leave it open for the others who use it."""

    def __enter__(self) -> "SharedCredential":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._identity, self._deployment, False)


class AsyncSharedCredential(AsyncWorkloadIdentityCredential):
    """The asynchronous twin of :class:`SharedCredential`: same tokens, same exchanges.

    An exchange runs in a thread, so the credential holds no session, belongs to no event loop, and has nothing to
    close.
    """

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment, tokens: Tokens) -> None:
        super().__init__(
            tenant_id=identity.tenant_id,
            client_id=identity.client_id,
            token_file_path=str(deployment.token_file),
            authority=deployment.authority_host_for(identity.cloud),
        )
        self._identity = identity
        self._deployment = deployment
        self._tokens = tokens

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_: Any,
    ) -> AccessToken:
        """Return an access token without blocking the event loop; otherwise as :meth:`SharedCredential.get_token`."""
        info = await self._tokens.aget(_request(self._identity, scopes, claims, tenant_id, enable_cae))
        return AccessToken(info.token, info.expires_on)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with all that Entra says of it; otherwise as :meth:`get_token`."""
        return await self._tokens.aget(_request(self._identity, scopes, **_known(options)))

    async def close(self) -> None:
        """Leave it open for the others who use it."""

    async def __aenter__(self) -> "AsyncSharedCredential":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._identity, self._deployment, True)


def _request(
    identity: WorkloadIdentity,
    scopes: tuple[str, ...],
    claims: str | None = None,
    tenant_id: str | None = None,
    enable_cae: bool = False,
) -> TokenRequest:
    if not scopes:
        raise ValueError("A token is for a scope: name one, such as https://storage.azure.com/.default")
    # Clients that follow a challenge name the tenant, others do not; they mean the same token.
    elsewhere = tenant_id if tenant_id != identity.tenant_id else None
    return TokenRequest(scopes, elsewhere or None, claims or None, enable_cae)


def _known(options: TokenRequestOptions | None) -> dict[str, Any]:
    options = options or {}
    return {name: options.get(name) for name in ("claims", "tenant_id")} | {
        "enable_cae": options.get("enable_cae", False)
    }


def _unpickled(
    identity: WorkloadIdentity, deployment: Deployment, is_async: bool
) -> SharedCredential | AsyncSharedCredential:
    from airflow_azure_wi.credentials import async_credential_for, credential_for

    build = async_credential_for if is_async else credential_for
    return build(identity, deployment, used_by="an unpickled credential")
