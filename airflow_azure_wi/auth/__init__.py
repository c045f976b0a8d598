"""Who and where, made into credentials that everything in this process shares.

Importing this package imports nothing of Azure; building the first credential does.
"""

import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_azure_wi.auth.importing import imported
from airflow_azure_wi.auth.token_cache import TokenCache, TokenRequest
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

    from airflow_azure_wi.auth.async_credential import AsyncSharedCredential
    from airflow_azure_wi.auth.credential import SharedCredential
    from airflow_azure_wi.auth.token_cache import Exchange

__all__ = ["async_credential_for", "credential_for", "exchange_now"]

# With more than this, those that hold no valid token, and that nobody has asked for in a while, are forgotten.
_MOST_IDENTITIES = 50
_UNUSED_AFTER_SECONDS = 600.0
# Messages name a few of them; ids with an endpoint can be many.
_MOST_USERS = 100


def credential_for(identity: WorkloadIdentity, deployment: Deployment, *, used_by: str) -> "SharedCredential":
    """Return the credential of an identity: the same object for everyone in this process who means the same.

    :param identity: who to sign in as; its subscription makes no difference.
    :param deployment: where the federated token is and where it is sent.
    :param used_by: the name of who asks in messages, such as ``connection 'azure_wi'``.
    """
    credential: SharedCredential = _shared(identity, deployment, used_by).credential("credential", "SharedCredential")
    return credential


def async_credential_for(
    identity: WorkloadIdentity, deployment: Deployment, *, used_by: str
) -> "AsyncSharedCredential":
    """Return the asynchronous twin of :func:`credential_for`; the two share their access tokens and exchanges.

    It belongs to no event loop, and may be used in several, one after the other or at once.
    """
    credential: AsyncSharedCredential = _shared(identity, deployment, used_by).credential(
        "async_credential", "AsyncSharedCredential"
    )
    return credential


def exchange_now(identity: WorkloadIdentity, deployment: Deployment, scope: str, *, used_by: str) -> "AccessTokenInfo":
    """Exchange the federated token again, whatever tokens this process holds: to know whether it works now.

    Where a developer signs in instead of a workload, this does too.

    :raises TokenExchangeError: if Entra gives no token.
    :raises FederatedTokenError: if there is no usable federated token.
    """
    return _exchange_of(identity, replace(deployment, token_cache_folder=None), [used_by])(TokenRequest((scope,)))


class _Shared:
    """What all who sign in as one identity in one deployment share. Nothing here takes a lock: see token_cache."""

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment) -> None:
        self._who_and_where = (identity, deployment)
        self._built: dict[str, Any] = {}
        self.users: dict[str, None] = {}
        self.asked_for_at = time.monotonic()

    def credential(self, module: str, name: str) -> Any:
        """Return one of the two credentials, built when it is first asked for."""
        built = self._built.get(name)
        if built is None:
            kind = getattr(imported(f"{__name__}.{module}"), name)
            built = self._built.setdefault(name, kind(*self._who_and_where, self._tokens()))
        return built

    def is_in_use(self) -> bool:
        """Return whether there are tokens that somebody may still want, or somebody who may still ask for one."""
        tokens = self._built.get("tokens")
        is_fresh = time.monotonic() - self.asked_for_at < _UNUSED_AFTER_SECONDS
        return is_fresh or (tokens is not None and tokens.is_in_use())

    def _tokens(self) -> "TokenCache[AccessTokenInfo]":
        tokens: TokenCache[AccessTokenInfo] | None = self._built.get("tokens")
        if tokens is None:
            tokens = self._built.setdefault("tokens", TokenCache(_exchange_of(*self._who_and_where, self.users)))
        return tokens


_all_shared: dict[tuple[WorkloadIdentity, Deployment], _Shared] = {}


def _shared(identity: WorkloadIdentity, deployment: Deployment, used_by: str) -> _Shared:
    # Once there is a federated token file, nobody gets an access token that a developer signed in for.
    deployment = replace(deployment, development_credential=deployment.development_credential_in_use())
    key = (replace(identity, subscription_id=None), deployment)
    shared = _all_shared.get(key)
    if shared is None:
        if len(_all_shared) >= _MOST_IDENTITIES:
            _forget_unused()
        shared = _all_shared.setdefault(key, _Shared(*key))
    shared.asked_for_at = time.monotonic()
    if len(shared.users) < _MOST_USERS:
        shared.users.setdefault(used_by)
    return shared


def _forget_unused() -> None:
    for key, shared in list(_all_shared.items()):
        if not shared.is_in_use():
            _all_shared.pop(key, None)


def _exchange_of(
    identity: WorkloadIdentity, deployment: Deployment, users: Collection[str]
) -> "Exchange[AccessTokenInfo]":
    exchange: Exchange[AccessTokenInfo] = imported(f"{__name__}.exchange").TokenExchange(identity, deployment, users)
    if deployment.development_credential is None:
        return exchange
    developer: Exchange[AccessTokenInfo] = imported(f"{__name__}.developer").DeveloperSignIn(
        identity, deployment, users, otherwise=exchange
    )
    return developer
