"""Who and where, made into credentials that everything in this process shares.

Importing this package imports nothing of Azure; building the first credential does.
"""

import os
import threading
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

    from airflow_azure_wi.auth.async_credential import AsyncSharedCredential
    from airflow_azure_wi.auth.credential import SharedCredential
    from airflow_azure_wi.auth.token_cache import Exchange, SharedTokens

__all__ = ["async_credential_for", "credential_for", "exchange_now"]


def credential_for(identity: WorkloadIdentity, deployment: Deployment, *, used_by: str) -> "SharedCredential":
    """Return the credential of an identity: the same object for everyone in this process who means the same.

    :param identity: who to sign in as; its subscription makes no difference.
    :param deployment: where the federated token is and where it is sent.
    :param used_by: who asks, as messages shall name it, such as ``connection 'azure_wi'``.
    """
    with _lock:
        return _credentials_of(identity, deployment, used_by).sync


def async_credential_for(
    identity: WorkloadIdentity, deployment: Deployment, *, used_by: str
) -> "AsyncSharedCredential":
    """Return the asynchronous twin of :func:`credential_for`; the two share their access tokens and exchanges.

    It belongs to no event loop, and may be used in several, one after the other or at once.
    """
    with _lock:
        return _credentials_of(identity, deployment, used_by).asynchronous


def exchange_now(identity: WorkloadIdentity, deployment: Deployment, scope: str, *, used_by: str) -> "AccessTokenInfo":
    """Exchange the federated token anew, whatever tokens this process holds: to know whether it works now.

    Where a developer signs in instead of a workload, this does too.

    :raises TokenExchangeError: if Entra gives no token.
    :raises FederatedTokenError: if there is no usable federated token.
    """
    from airflow_azure_wi.auth.token_cache import TokenRequest

    return _exchange_of(identity, replace(deployment, token_cache_folder=None), [used_by])(TokenRequest((scope,)))


class _Credentials:
    """The two credentials of one identity in one deployment, each built when it is first asked for."""

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment) -> None:
        self._who_and_where = (identity, deployment)
        self.users: dict[str, None] = {}

    @cached_property
    def tokens(self) -> "SharedTokens[AccessTokenInfo]":
        from airflow_azure_wi.auth.token_cache import SharedTokens

        return SharedTokens(_exchange_of(*self._who_and_where, self.users))

    @cached_property
    def sync(self) -> "SharedCredential":
        from airflow_azure_wi.auth.credential import SharedCredential

        return SharedCredential(*self._who_and_where, self.tokens)

    @cached_property
    def asynchronous(self) -> "AsyncSharedCredential":
        from airflow_azure_wi.auth.async_credential import AsyncSharedCredential

        return AsyncSharedCredential(*self._who_and_where, self.tokens)


_built: dict[tuple[WorkloadIdentity, Deployment], _Credentials] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a thread that held it does not exist in the child of a fork
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _exchange_of(
    identity: WorkloadIdentity, deployment: Deployment, users: Collection[str]
) -> "Exchange[AccessTokenInfo]":
    from airflow_azure_wi.auth.exchange import TokenExchange

    exchange = TokenExchange(identity, deployment, users)
    if deployment.development_credential is None:
        return exchange
    from airflow_azure_wi.auth.developer import DevelopmentSignIn

    return DevelopmentSignIn(identity, deployment, users, otherwise=exchange)


def _credentials_of(identity: WorkloadIdentity, deployment: Deployment, used_by: str) -> _Credentials:
    # Once there is a federated token file, nobody gets an access token that a developer signed in for.
    deployment = replace(deployment, development_credential=deployment.development_credential_in_use())
    key = (replace(identity, subscription_id=None), deployment)
    if key not in _built:
        _built[key] = _Credentials(*key)
    _built[key].users[used_by] = None
    return _built[key]
