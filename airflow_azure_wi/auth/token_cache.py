"""Access tokens that threads, coroutines and event loops share, and the one exchange that they wait for together.

It knows neither Azure nor Airflow: an exchange is a function from a request to a token.

Each exchange runs in a thread of its own, and those who ask wait for its end. So whoever asks may be interrupted at any
point (a signal, a task's time-out, the end of a coroutine) without an exchange that nobody finishes, and the handler of
a signal may ask for the very token that the code it interrupted is waiting for. For the same reason there is no lock:
the handler would wait for the one that its own thread holds.
"""

import _thread
import asyncio
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotDoneYet
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from airflow_azure_wi.auth import metrics

logger = logging.getLogger(__name__)

# As azure-identity does it: a token is renewed from five minutes before it expires, and an attempt that failed is
# not repeated for half a minute (DEFAULT_REFRESH_OFFSET and DEFAULT_TOKEN_REFRESH_RETRY_DELAY there).
RENEW_BEFORE_EXPIRY_SECONDS = 300
RENEW_RETRY_SECONDS = 30

# However an exchange hangs, in a name look-up for example, nobody waits longer for it.
LONGEST_EXCHANGE_SECONDS = 60.0

# A waiting thread looks up this often, because the handler of a signal may have taken the one notification.
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    """How long an exchange may take. Entra answers in a fraction of a second; these are for when it does not.

    :param connection_seconds: for connecting.
    :param read_seconds: for a single read.
    :param first_pause_seconds: between the first two attempts; each later pause is twice as long.
    :param exchange_seconds: for all attempts and pauses. Sooner than those who wait give up, so that the error says
        what happened.
    """

    connection_seconds: float = 5.0
    read_seconds: float = 10.0
    first_pause_seconds: float = 0.5
    exchange_seconds: float = LONGEST_EXCHANGE_SECONDS - 5


class Token(Protocol):
    """What sharing needs to know of an access token; ``azure.core.credentials.AccessTokenInfo`` is one."""

    @property
    def expires_on(self) -> int:
        """When it expires, in seconds since the epoch (UTC)."""

    @property
    def refresh_on(self) -> int | None:
        """When Entra wants it renewed, in seconds since the epoch (UTC), or None where it did not say."""


@dataclass(frozen=True)
class TokenRequest:
    """What makes one access token differ from another for the same identity."""

    scopes: tuple[str, ...]
    claims: str | None = None
    enable_cae: bool = False

    def without_claims(self) -> "TokenRequest":
        """Return the request that the token also answers from now on: claims are a challenge to the old one."""
        return replace(self, claims=None) if self.claims else self


T = TypeVar("T", bound=Token)


class Exchange(Protocol[T]):
    """Gets new access tokens."""

    def __call__(self, request: TokenRequest) -> T:
        """Get one, blocking."""

    def announce(self, request: TokenRequest, token: T) -> None:
        """Say in the log that there is a new one; called in the thread of the one who asked for it."""

    def overdue(self, request: TokenRequest) -> Exception:
        """Return what is raised where an exchange has not ended in time."""

    def start_over(self) -> None:
        """Drop connections, which do not survive a fork."""


class _Abandoned(Exception):
    """The thread of an exchange was stopped from outside; one of those who waited takes over."""


class _Pending(Generic[T]):
    """An exchange under way, which anyone who waits for it also starts, if nobody has.

    :ivar outcome: its token or its exception.
    """

    def __init__(self, run: Callable[["_Pending[T]"], None], longest_seconds: float) -> None:
        self.outcome: Future[T] = Future()
        # A running future cannot be cancelled by one of those who await it.
        self.outcome.set_running_or_notify_cancel()
        self._deadline = time.monotonic() + longest_seconds
        self._run = run
        self._may_run = _thread.allocate_lock()
        self._is_started = False

    def seconds_left(self) -> float:
        """Return how long it may still take."""
        return self._deadline - time.monotonic()

    def start(self) -> None:
        """Start it, unless it is. Interrupted in between, it may start two threads, of which one does nothing."""
        if self._is_started:
            return
        if no_other_thread_can_import():
            # The exchange imports a module or two.
            self._run_once()
            return
        try:
            # Not threading.Thread: starting one takes locks, which the thread that was interrupted may hold. Nor the
            # event loop's executor: those who fill it may be waiting for this very token.
            _thread.start_new_thread(self._run_in_thread, ())
        except RuntimeError:
            # A process that is shutting down starts no threads.
            self._run_once()
        self._is_started = True

    def _run_in_thread(self) -> None:
        # What is not an Exception ends this thread silently.
        with suppress(BaseException):
            self._run_once()

    def _run_once(self) -> None:
        if self._may_run.acquire(blocking=False):
            self._run(self)


class TokenCache(Generic[T]):
    """Hands out access tokens: those it holds at once, others through one exchange for all who ask.

    Warm, an asker pays for a dictionary look-up. A token that is due for renewal is renewed in the background, so
    that nobody who holds a valid one waits.

    :param exchange: gets a new token. It is not called twice at once for the same request.
    :param longest_seconds: how long those who ask wait for an exchange.
    """

    def __init__(self, exchange: Exchange[T], *, longest_seconds: float = LONGEST_EXCHANGE_SECONDS) -> None:
        self._exchange = exchange
        self._longest_seconds = longest_seconds
        self._held: dict[TokenRequest, T] = {}
        self._renewal_tried_at: dict[TokenRequest, float] = {}
        self._pending: dict[TokenRequest, _Pending[T]] = {}
        _all_caches.add(self)

    def get(self, request: TokenRequest) -> T:
        """Return a valid token; blocks while one is exchanged.

        :raises Exception: what the exchange raises, to everyone who waited for it.
        """
        while True:
            if (token := self._valid(request)) is not None:
                return token
            pending, is_new = self._join(request)
            while not pending.outcome.done():
                with suppress(NotDoneYet):
                    pending.outcome.exception(timeout=min(_POLL_SECONDS, max(pending.seconds_left(), 0.0)))
                self._give_up_if_overdue(request, pending)
            with suppress(_Abandoned):
                return self._announced(request, pending.outcome.result(), is_new)

    async def aget(self, request: TokenRequest) -> T:
        """Return a valid token without blocking the event loop.

        :raises Exception: what the exchange raises, to everyone who waited for it.
        """
        while True:
            if (token := self._valid(request)) is not None:
                return token
            pending, is_new = self._join(request)
            # More than once where a loop's timers are early.
            while not pending.outcome.done():
                await _wait_for(pending)
                self._give_up_if_overdue(request, pending)
            with suppress(_Abandoned):
                return self._announced(request, pending.outcome.result(), is_new)

    def is_in_use(self) -> bool:
        """Return whether it holds a valid token, or gets one."""
        now = time.time()
        return bool(self._pending) or any(now < token.expires_on for token in list(self._held.values()))

    def start_over(self) -> None:
        """Forget exchanges under way: on this side of a fork, nobody makes them."""
        self._pending = {}
        self._exchange.start_over()

    def _valid(self, request: TokenRequest) -> T | None:
        """Return the held token if it is valid; have it renewed if that is due."""
        held = self._held_now(request)
        if held is None:
            return None
        now = time.time()
        if is_renewal_due(held, now) and now - self._renewal_tried_at.get(request, 0) >= RENEW_RETRY_SECONDS:
            self._renew_in_background(request, now)
        return held

    def _join(self, request: TokenRequest, *, is_renewal: bool = False) -> tuple[_Pending[T], bool]:
        """Return the exchange under way for a request, begun if there is none, and whether it was begun."""
        new = _Pending[T](lambda pending: self._run(request, pending, is_renewal), self._longest_seconds)
        pending = self._pending.setdefault(request, new)
        if pending is not new:
            self._give_up_if_overdue(request, pending)
        pending.start()
        return pending, pending is new

    def _run(self, request: TokenRequest, pending: _Pending[T], is_renewal: bool) -> None:
        """Make the exchange and tell everyone who waits; never raises what the exchange raised."""
        try:
            # Unless it is to be renewed, the exchange that the asker would have joined ended a moment ago.
            token = None if is_renewal else self._held_now(request)
            if token is None:
                token = self._exchange(request)
        except Exception as error:  # noqa: BLE001 - it is raised again by the future, to every asker
            self._finish(request, pending, pending.outcome.set_exception, error)
        except BaseException:
            self._finish(request, pending, pending.outcome.set_exception, _Abandoned())
            raise
        else:
            self._hold(request, token)
            self._finish(request, pending, pending.outcome.set_result, token)
            if is_renewal:
                metrics.note(metrics.RENEWAL)
        if not no_other_thread_can_import():
            metrics.report()

    def _finish(self, request: TokenRequest, pending: _Pending[T], settle: Callable[[Any], None], outcome: Any) -> None:
        # First, so that whoever comes now begins a new one. After a fork or a give-up, another may be there already.
        if self._pending.get(request) is pending:
            self._pending.pop(request, None)
        with suppress(InvalidStateError):
            settle(outcome)

    def _held_now(self, request: TokenRequest) -> T | None:
        held = self._held.get(request)
        return held if held is not None and time.time() < held.expires_on else None

    def _hold(self, request: TokenRequest, token: T) -> None:
        now = time.time()
        for known, held in list(self._held.items()):
            if now >= held.expires_on:
                self._held.pop(known, None)
                self._renewal_tried_at.pop(known, None)
        self._held[request.without_claims()] = token

    def _give_up_if_overdue(self, request: TokenRequest, pending: _Pending[T]) -> None:
        if pending.seconds_left() <= 0 and not pending.outcome.done():
            self._finish(request, pending, pending.outcome.set_exception, self._exchange.overdue(request))

    def _announced(self, request: TokenRequest, token: T, is_new: bool) -> T:
        # Not by the thread of the exchange: the one that waits for it may hold the locks of logging's handlers.
        if is_new:
            self._exchange.announce(request, token)
        return token

    def _renew_in_background(self, request: TokenRequest, now: float) -> None:
        self._renewal_tried_at[request] = now
        pending, is_new = self._join(request, is_renewal=True)
        if is_new:
            pending.outcome.add_done_callback(lambda outcome: self._log_renewal(request, outcome))

    def _log_renewal(self, request: TokenRequest, outcome: "Future[T]") -> None:
        error = outcome.exception()
        if error is None:
            self._exchange.announce(request, outcome.result())
        elif not isinstance(error, _Abandoned):
            logger.warning("An access token could not be renewed; the one at hand is used until it expires. %s", error)


def is_renewal_due(token: Token, now: float) -> bool:
    """Return whether a token that is still valid should be replaced.

    :param now: the time, in seconds since the epoch (UTC).
    """
    if token.refresh_on is not None and now >= token.refresh_on:
        return True
    return token.expires_on - now <= RENEW_BEFORE_EXPIRY_SECONDS


async def _wait_for(pending: _Pending[Any]) -> None:
    outcome = asyncio.wrap_future(pending.outcome)
    try:
        await asyncio.wait({outcome}, timeout=max(pending.seconds_left(), 0.0))
    finally:
        # Or asyncio complains of an exception that nobody looked at.
        if not outcome.cancel():
            outcome.exception()


def no_other_thread_can_import() -> bool:
    """Return whether this thread was interrupted looking for a module, which it does with the lock of all imports."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == "_find_spec" and code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_all_caches: "weakref.WeakSet[TokenCache[Any]]" = weakref.WeakSet()


def _start_over_after_fork() -> None:
    for cache in list(_all_caches):
        cache.start_over()


os.register_at_fork(after_in_child=_start_over_after_fork)
