"""The credential: azure-identity's type, handing out the tokens that this process shares.

Importing this module imports azure-identity, so nothing does before a credential is built.
"""

from collections.abc import Callable
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.identity import WorkloadIdentityCredential

from airflow_azure_wi.auth.token_cache import TokenCache, TokenRequest
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import TenantError
from airflow_azure_wi.identity import WorkloadIdentity, is_guid
from airflow_azure_wi.redaction import excerpt
from airflow_azure_wi.tokens import unverified_claims


class SharedTokens:
    """What the credential and its asynchronous twin have in common.

    It comes before azure-identity's class, whose ``__init__`` would build a second HTTP pipeline that is never used:
    exchanges have their own.

    :param again: makes the credential from identity and deployment where it is unpickled.
    """

    def __init__(
        self,
        identity: WorkloadIdentity,
        deployment: Deployment,
        tokens: TokenCache[AccessTokenInfo],
        again: Callable[[WorkloadIdentity, Deployment], Any],
    ) -> None:
        self._identity = identity
        self._deployment = deployment
        self._tokens = tokens
        self._again = again

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, (self._identity, self._deployment)

    def _request(
        self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None, enable_cae: bool
    ) -> TokenRequest:
        """Return what makes this call's token different from others.

        :raises ValueError: without a scope.
        :raises TenantError: if the service is in another tenant than the identity, as far as that is known yet.
        """
        if not scopes:
            raise ValueError("A token is for a scope: name one, such as https://storage.azure.com/.default")
        if problem := self._problem_of_tenant(tenant_id, scopes):
            raise TenantError(problem)
        return TokenRequest(scopes, claims or None, enable_cae)

    def _problem_of_tenant(
        self, asked: str | None, scopes: tuple[str, ...], access_token: str | None = None
    ) -> str | None:
        """Return what is wrong if the tenant that a service names is not the identity's.

        Key Vault names its tenant in each challenge, Azure Storage where it rejects a token, always by GUID
        (https://github.com/Azure/azure-sdk-for-python/issues/27349, issue 30498 there). A connection may name the same
        tenant by a domain, of which an access token says the GUID.

        :param access_token: of the identity, if there is one yet.
        """
        identity = self._identity
        if not asked or asked.lower() == identity.tenant_id:
            return None
        own = identity.tenant_id if is_guid(identity.tenant_id) else _tenant_in(access_token)
        if own is None or own == asked.lower():
            return None
        return (
            f"The identity (client id {identity.client_id}) signs in to the tenant {identity.tenant_id}, and the "
            f"service that wants a token for {excerpt(' '.join(scopes))} is in the tenant {excerpt(asked)}.\n"
            "Next step: check the URL of the service. To reach a service in another tenant, use a connection with an "
            "application that is known there, and that tenant: `airflow-azure-wi link --application` links it."
        )


class SharedCredential(SharedTokens, WorkloadIdentityCredential):
    """A ``WorkloadIdentityCredential`` whose access tokens everyone in the process shares.

    Closing it, or leaving a ``with`` block, does not end it: others may be using it. Pickled, it is ids, a path and
    a host, and no token.
    """

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
        :param tenant_id: the tenant that the service names; it has to be the identity's.
        :param enable_cae: whether the caller handles continuous access evaluation.
        :return: ``.token`` and ``.expires_on`` (seconds since the epoch, UTC).
        :raises TokenExchangeError: if Entra gives no token.
        :raises TenantError: if the service is in another tenant than the identity.
        :raises FederatedTokenError: if there is no usable federated token.
        """
        info = self._get(scopes, claims, tenant_id, enable_cae)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with all that Entra says of it; otherwise as :meth:`get_token`."""
        return self._get(scopes, **known_options(options))

    def _get(
        self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None, enable_cae: bool
    ) -> AccessTokenInfo:
        token = self._tokens.get(self._request(scopes, claims, tenant_id, enable_cae))
        if (problem := self._problem_of_tenant(tenant_id, scopes, token.token)) is None:
            return token
        # Whoever reports the error with the variables of its frames reports no token.
        del token
        raise TenantError(problem)

    def close(self) -> None:
        """Leave it open for the others who use it."""

    def __enter__(self) -> "SharedCredential":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def known_options(options: TokenRequestOptions | None) -> dict[str, Any]:
    """Return the options of ``get_token_info`` as arguments."""
    options = options or {}
    return {name: options.get(name) for name in ("claims", "tenant_id")} | {
        "enable_cae": options.get("enable_cae", False)
    }


def _tenant_in(access_token: str | None) -> str | None:
    claims = unverified_claims(access_token) if access_token else None
    tenant = (claims or {}).get("tid")
    return tenant.lower() if isinstance(tenant, str) else None
