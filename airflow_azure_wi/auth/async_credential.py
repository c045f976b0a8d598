"""The credential for asynchronous clients: azure-identity's type, handing out the tokens that this process shares.

Importing this module imports azure-identity's asynchronous half, and aiohttp with it.
"""

from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.identity.aio import WorkloadIdentityCredential

from airflow_azure_wi.auth.credential import SharedTokens, known_options
from airflow_azure_wi.errors import TenantError


class AsyncSharedCredential(SharedTokens, WorkloadIdentityCredential):
    """The asynchronous twin of ``SharedCredential``: same tokens, same exchanges.

    An exchange runs in a thread, so the credential holds no session, belongs to no event loop, and has nothing to
    close.
    """

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_: Any,
    ) -> AccessToken:
        """Return an access token without blocking the event loop; otherwise as :meth:`SharedCredential.get_token`."""
        info = await self._get(scopes, claims, tenant_id, enable_cae)
        return AccessToken(info.token, info.expires_on)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with all that Entra says of it; otherwise as :meth:`get_token`."""
        return await self._get(scopes, **known_options(options))

    async def _get(
        self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None, enable_cae: bool
    ) -> AccessTokenInfo:
        token = await self._tokens.aget(self._request(scopes, claims, tenant_id, enable_cae))
        if (problem := self._problem_of_tenant(tenant_id, scopes, token.token)) is None:
            return token
        # Whoever reports the error with the variables of its frames reports no token.
        del token
        raise TenantError(problem)

    async def close(self) -> None:
        """Leave it open for the others who use it."""

    async def __aenter__(self) -> "AsyncSharedCredential":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
