"""Authenticate: the stock provider's credential factories hand out the shared credential of this package.

The factories get two ids and nothing else. So that a stock connection with the same ids still gets the
``DefaultAzureCredential`` that it always got, the ids that stock hooks find in a connection of this package's type are
marked with the connection they are from. A mark does not show: to all who do not look for it, the id is a plain string.
"""

import functools
import os
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow_azure_wi.bridge.imports import warn_once

if TYPE_CHECKING:
    from azure.identity import WorkloadIdentityCredential
    from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential

    from airflow_azure_wi.identity import WorkloadIdentity

SYNC_FACTORY = "get_sync_default_azure_credential"
ASYNC_FACTORY = "get_async_default_azure_credential"

# The extra by which stock hooks know a managed identity, and by which the factories get its client id.
CLIENT_ID = "managed_identity_client_id"

_last_read: ContextVar["SignIn | None"] = ContextVar("airflow_azure_wi_last_read", default=None)


@dataclass(frozen=True)
class SignIn:
    """Signing in as the identity of one connection.

    :param identity: who.
    :param name: the connection's name in messages.
    """

    identity: "WorkloadIdentity"
    name: str

    def credential(self) -> "WorkloadIdentityCredential":
        """Return the credential that everyone in this process shares."""
        from airflow_azure_wi.auth import credential_for
        from airflow_azure_wi.clients import quiet_http_logging
        from airflow_azure_wi.hooks.configuration import deployment

        quiet_http_logging(os.environ)
        return credential_for(self.identity, deployment(), used_by=self.name)

    def async_credential(self) -> "AsyncWorkloadIdentityCredential":
        """Return its twin for asynchronous clients."""
        from airflow_azure_wi.auth import async_credential_for
        from airflow_azure_wi.clients import quiet_http_logging
        from airflow_azure_wi.hooks.configuration import deployment

        quiet_http_logging(os.environ)
        return async_credential_for(self.identity, deployment(), used_by=self.name)


class MarkedId(str):
    """A client id that knows the connection it is from.

    :ivar sign_in: how to sign in through that connection.
    """

    sign_in: SignIn

    @classmethod
    def of(cls, sign_in: SignIn) -> "MarkedId":
        """Return the client id of an identity, marked."""
        marked = cls(sign_in.identity.client_id)
        marked.sign_in = sign_in
        return marked


def sign_in_of(client_id: Any) -> SignIn | None:
    """Return how to sign in where a client id is from a connection of this package's type, or else None."""
    return client_id.sign_in if isinstance(client_id, MarkedId) else None


def note_read(sign_in: SignIn | None) -> None:
    """Remember how to sign in through the connection that this thread or task reads; None if of another type."""
    _last_read.set(sign_in)


def sign_in_for(client_id: Any) -> SignIn | None:
    """Return what :func:`sign_in_of` does, also where a hook parsed the extra itself, which leaves no mark on the id.

    Then it counts that this thread or task has just read a connection of this package's type, with this id.
    """
    last = _last_read.get()
    is_of_last = last is not None and client_id == last.identity.client_id
    return sign_in_of(client_id) or (last if is_of_last else None)


def replace_in(utils: ModuleType) -> None:
    """Replace what the two factories do.

    Hook modules import the factories by name, some before the bridge is there. Both are ``functools.partial`` objects
    that all of them share, and which can be given another function.
    """
    for name, is_async in ((SYNC_FACTORY, False), (ASYNC_FACTORY, True)):
        factory = getattr(utils, name, None)
        if not isinstance(factory, functools.partial):
            warn_once(
                f"{utils.__name__}.{name} is not the functools.partial that the bridge of airflow-azure-wi knows: "
                "stock hooks that use it make a DefaultAzureCredential for azure_workload_identity connections. "
                "Update airflow-azure-wi."
            )
            continue
        replaced = _shared_or(factory.func, is_async=is_async)
        # How unpickling fills a partial object; there is no other way to change one in place.
        factory.__setstate__((replaced, factory.args, factory.keywords, None))  # type: ignore[attr-defined]


def _shared_or(make_default: Any, *, is_async: bool) -> Any:
    @functools.wraps(make_default)
    def make_credential(*args: Any, **kwargs: Any) -> Any:
        sign_in = sign_in_for(kwargs.get(CLIENT_ID))
        if sign_in is None:
            return make_default(*args, **kwargs)
        return sign_in.async_credential() if is_async else sign_in.credential()

    return make_credential
