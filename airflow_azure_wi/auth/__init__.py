"""Who and where, made into credentials that everything in this process shares.

Importing this package imports nothing of Azure; building the first credential does.
"""

import _thread
import importlib
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneYet
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from airflow_azure_wi.auth.token_cache import Limits, TokenCache, TokenRequest, no_other_thread_can_import
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import WorkloadIdentityError
from airflow_azure_wi.identity import WorkloadIdentity

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

    from airflow_azure_wi.auth.async_credential import AsyncSharedCredential
    from airflow_azure_wi.auth.credential import SharedCredential
    from airflow_azure_wi.auth.token_cache import Exchange

__all__ = ["Limits", "async_credential_for", "credential_for", "exchange_now"]

# With more than this, those that hold no valid token, and that nobody has asked for in a while, are forgotten.
_MOST_IDENTITIES = 50
_UNUSED_AFTER_SECONDS = 600.0
# Messages name a few of them; ids with an endpoint can be many.
_MOST_USERS = 100
_USUAL = Limits()


def credential_for(
    identity: WorkloadIdentity, deployment: Deployment, *, used_by: str, limits: Limits = _USUAL
) -> "SharedCredential":
    """Return the credential of an identity: the same object for everyone in this process who means the same.

    :param identity: who to sign in as; its subscription makes no difference.
    :param deployment: where the federated token is and where it is sent.
    :param used_by: the name of who asks in messages, such as ``connection 'azure_wi'``.
    :param limits: how long an exchange may take; others than the usual ones are for tests.
    """
    credential: SharedCredential = _shared(identity, deployment, limits, used_by).credential(
        "credential", "SharedCredential", credential_for
    )
    return credential


def async_credential_for(
    identity: WorkloadIdentity, deployment: Deployment, *, used_by: str, limits: Limits = _USUAL
) -> "AsyncSharedCredential":
    """Return the asynchronous twin of :func:`credential_for`; the two share their access tokens and exchanges.

    It belongs to no event loop, and may be used in several, one after the other or at once.
    """
    credential: AsyncSharedCredential = _shared(identity, deployment, limits, used_by).credential(
        "async_credential", "AsyncSharedCredential", async_credential_for
    )
    return credential


def exchange_now(identity: WorkloadIdentity, deployment: Deployment, scope: str, *, used_by: str) -> "AccessTokenInfo":
    """Exchange the federated token again, whatever tokens this process holds: to know whether it works now.

    Where a developer signs in instead of a workload, this does too.

    :raises TokenExchangeError: if Entra gives no token.
    :raises FederatedTokenError: if there is no usable federated token.
    """
    exchange = _exchange_of(identity, replace(deployment, token_cache_folder=None), _USUAL, [used_by])
    return exchange(TokenRequest((scope,)))


class _Shared:
    """What all who sign in as one identity in one deployment share. Nothing here takes a lock: see token_cache."""

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment, limits: Limits) -> None:
        self._identity = identity
        self._deployment = deployment
        self._limits = limits
        self._built: dict[str, Any] = {}
        self.users: dict[str, None] = {}
        self.asked_for_at = time.monotonic()

    def credential(self, module: str, name: str, found_by: Callable[..., Any]) -> Any:
        """Return one of the two credentials.

        :param found_by: the function of this module that returns it.
        """
        # An unpickled one is the credential of the process that it gets to.
        again = partial(found_by, used_by="an unpickled credential")
        return self._once(name, lambda: _class(module, name)(self._identity, self._deployment, self._tokens(), again))

    def is_in_use(self) -> bool:
        """Return whether there are tokens that somebody may still want, or somebody who may still ask for one."""
        is_fresh = time.monotonic() - self.asked_for_at < _UNUSED_AFTER_SECONDS
        return is_fresh or ("tokens" in self._built and self._tokens().is_in_use())

    def _tokens(self) -> "TokenCache[AccessTokenInfo]":
        tokens: TokenCache[AccessTokenInfo] = self._once(
            "tokens",
            lambda: TokenCache(_exchange_of(self._identity, self._deployment, self._limits, self.users)),
        )
        return tokens

    def _once(self, name: str, build: Callable[[], Any]) -> Any:
        """Return what is built when it is first asked for; if two build it at once, both get the same."""
        built = self._built.get(name)
        return self._built.setdefault(name, build()) if built is None else built


_all_shared: dict[tuple[WorkloadIdentity, Deployment, Limits], _Shared] = {}


def _shared(identity: WorkloadIdentity, deployment: Deployment, limits: Limits, used_by: str) -> _Shared:
    # Once there is a federated token file, nobody gets an access token that a developer signed in for.
    deployment = replace(deployment, development_credential=deployment.development_credential_in_use())
    key = (replace(identity, subscription_id=None), deployment, limits)
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
    identity: WorkloadIdentity, deployment: Deployment, limits: Limits, users: Collection[str]
) -> "Exchange[AccessTokenInfo]":
    exchange: Exchange[AccessTokenInfo] = _class("exchange", "TokenExchange")(identity, deployment, users, limits)
    if deployment.development_credential is not None:
        exchange = _class("developer", "DeveloperSignIn")(identity, deployment, users, exchange)
    return exchange


def _class(module: str, name: str) -> Any:
    """Return a class of one of the modules here that import azure-identity, imported when it is first asked for."""
    found = _classes.get(name)
    if found is None:
        found = _classes[name] = getattr(_imported(f"{__name__}.{module}"), name)
    return found


_classes: dict[str, Any] = {}

# No import takes longer, on a slow disk either.
_LONGEST_IMPORT_SECONDS = 60.0
_POLL_SECONDS = 0.5
# Functions of importlib that wait for a module's lock. The module is in their local variable `name`.
_WAITING = frozenset({"_find_and_load", "_lock_unlock_module"})


def _imported(name: str) -> Any:
    """Import a module in a separate thread, because the handler of a signal may ask for it at any point.

    In the thread that it interrupted, it would find modules of which only a part is there. In another one, the import
    waits until they are whole. If the interrupted code is what makes one whole, that is forever, so it is an error.

    :raises WorkloadIdentityError: if the thread that asks was interrupted in an import that has to end first.
    """
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(importlib.import_module(name))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for
            outcome.set_exception(error)

    if no_other_thread_can_import():
        run()
        if isinstance(error := outcome.exception(), ImportError | AttributeError):
            raise _cannot_be_imported(name, str(error)) from None
        return outcome.result()
    try:
        thread = _thread.start_new_thread(run, ())
    except RuntimeError:
        # A process that is shutting down starts no threads.
        run()
        return outcome.result()
    deadline = time.monotonic() + _LONGEST_IMPORT_SECONDS
    held_up_before = None
    while not outcome.done():
        with suppress(NotDoneYet):
            outcome.exception(timeout=_POLL_SECONDS)
        held_up = _held_up_by_this_thread(thread)
        # Seen twice: this thread may itself have been about to wait for a module that a third one imports.
        if not outcome.done() and (time.monotonic() > deadline or (held_up and held_up == held_up_before)):
            raise _cannot_be_imported(name, f"{held_up or 'what it takes'} has to be imported first")
        held_up_before = held_up
    return outcome.result()


def _held_up_by_this_thread(thread: int) -> str | None:
    """Return the module that another thread waits for because this one is importing it, or None."""
    awaited = next(_imports_in(sys._current_frames().get(thread)), None)
    return awaited if awaited in set(_imports_in(sys._getframe())) else None


def _imports_in(frame: FrameType | None) -> Iterator[str]:
    """Return the modules that a thread is importing or waits for, the innermost first."""
    while frame is not None:
        code = frame.f_code
        # These wait for a module's lock. The module is in their local variable `name`.
        if code.co_filename.startswith("<frozen importlib") and code.co_name in {
            "_find_and_load",
            "_lock_unlock_module",
        }:
            yield frame.f_locals["name"]
        frame = frame.f_back


def _cannot_be_imported(name: str, why: str) -> WorkloadIdentityError:
    return WorkloadIdentityError(
        f"{name} cannot be imported: the code that was interrupted, by a signal for example, is importing a part of it "
        f"({why}).\n"
        "Next step: where on_kill() or another handler of signals signs in, call get_credential() of the hook once at "
        "the beginning of execute(), which imports everything that signing in takes."
    )
