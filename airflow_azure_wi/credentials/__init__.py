"""Who and where, made into credentials that everything in this process shares.

Importing this package imports nothing of Azure; building the first credential does.
"""

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity

if TYPE_CHECKING:
    from airflow_azure_wi.credentials._azure import AsyncSharedCredential, SharedCredential

__all__ = ["async_credential_for", "credential_for"]


def credential_for(identity: WorkloadIdentity, deployment: Deployment, *, used_by: str) -> "SharedCredential":
    """Return the credential of an identity: the same object for everyone in this process who means the same.

    :param identity: who to sign in as; its subscription makes no difference.
    :param deployment: where the federated token is and where it is sent.
    :param used_by: who asks, as messages shall name it, such as ``connection 'azure_wi'``.
    """
    return _pair_for(identity, deployment, used_by).sync


def async_credential_for(
    identity: WorkloadIdentity, deployment: Deployment, *, used_by: str
) -> "AsyncSharedCredential":
    """Return the asynchronous twin of :func:`credential_for`; the two share their access tokens and exchanges.

    It belongs to no event loop, and may be used in several, one after the other or at once.
    """
    return _pair_for(identity, deployment, used_by).asynchronous


@dataclass(frozen=True)
class _Pair:
    sync: "SharedCredential"
    asynchronous: "AsyncSharedCredential"
    users: dict[str, None]


@dataclass
class _Registry:
    """The credentials of this process, by who and where."""

    pairs: dict[tuple[WorkloadIdentity, Deployment], _Pair] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pair(self, identity: WorkloadIdentity, deployment: Deployment) -> _Pair:
        key = (replace(identity, subscription_id=None), deployment)
        with self.lock:
            if key not in self.pairs:
                self.pairs[key] = _build(*key)
            return self.pairs[key]


def _build(identity: WorkloadIdentity, deployment: Deployment) -> _Pair:
    from airflow_azure_wi.credentials._azure import AsyncSharedCredential, SharedCredential
    from airflow_azure_wi.credentials._exchange import TokenExchange
    from airflow_azure_wi.credentials._sharing import SharedTokens

    users: dict[str, None] = {}
    tokens = SharedTokens(TokenExchange(identity, deployment, users))
    return _Pair(
        SharedCredential(identity, deployment, tokens), AsyncSharedCredential(identity, deployment, tokens), users
    )


_registry = _Registry()


def _pair_for(identity: WorkloadIdentity, deployment: Deployment, used_by: str) -> _Pair:
    pair = _registry.pair(identity, deployment)
    pair.users[used_by] = None
    return pair
