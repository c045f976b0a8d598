"""Access tokens that threads, coroutines and event loops share, and the one exchange that they wait for together.

It knows neither Azure nor Airflow: an exchange is a function from a request to a token.
"""

import asyncio
import logging
import os
import threading
import time
import weakref
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)

# As azure-identity does it: a token is renewed from five minutes before it expires, and an attempt that failed is
# not repeated for half a minute (DEFAULT_REFRESH_OFFSET and DEFAULT_TOKEN_REFRESH_RETRY_DELAY there).
RENEW_BEFORE_EXPIRY_SECONDS = 300
RENEW_RETRY_SECONDS = 30


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
    tenant_id: str | None = None
    claims: str | None = None
    enable_cae: bool = False

    def without_claims(self) -> "TokenRequest":
        """Return the request that the token also answers from now on: claims are a challenge to the old one."""
        return replace(self, claims=None) if self.claims else self


T = TypeVar("T", bound=Token)
T_co = TypeVar("T_co", bound=Token, covariant=True)


class Exchange(Protocol[T_co]):
    """Gets one new access token."""

    def __call__(self, request: TokenRequest) -> T_co:
        """Get a token, blocking."""

    def start_over(self) -> None:
        """Drop connections and locks, which do not survive a fork."""


class _Abandoned(Exception):
    """The asker whose exchange the others waited for was stopped from outside; one of them takes over."""


class SharedTokens(Generic[T]):
    """Hands out access tokens: those it holds at once, others through one exchange for all who ask.

    Warm, an asker pays for a dictionary look-up. A token that is due for renewal is renewed in the background, so
    that nobody who holds a valid one waits.

    :param exchange: gets a new token, blocking. It is never called twice at once for the same request.
    """

    def __init__(self, exchange: Exchange[T]) -> None:
        self._exchange = exchange
        self._held: dict[TokenRequest, T] = {}
        self._renewal_tried_at: dict[TokenRequest, float] = {}
        self._start_over()
        _all_shared_tokens.add(self)

    def get(self, request: TokenRequest) -> T:
        """Return a valid token; blocks while one is exchanged.

        :raises Exception: what the exchange raises, to everyone who waited for it.
        """
        while True:
            token = self._valid(request)
            if token is not None:
                return token
            flight, is_mine = self._join(request)
            if is_mine:
                self._fly(request, flight)
            try:
                return flight.result()
            except _Abandoned:
                continue

    async def aget(self, request: TokenRequest) -> T:
        """Return a valid token without blocking the event loop; exchanges run in a thread of their own.

        :raises Exception: what the exchange raises, to everyone who waited for it.
        """
        while True:
            token = self._valid(request)
            if token is not None:
                return token
            flight, is_mine = self._join(request)
            if is_mine:
                self._fly_in_thread(request, flight)
            try:
                return await asyncio.wrap_future(flight)
            except _Abandoned:
                continue

    def _valid(self, request: TokenRequest) -> T | None:
        """Return the held token if it is valid; have it renewed if that is due."""
        held = self._held.get(request)
        now = time.time()
        if held is None or now >= held.expires_on:
            return None
        if is_renewal_due(held, now) and now - self._renewal_tried_at.get(request, 0) >= RENEW_RETRY_SECONDS:
            self._renew_in_background(request, now)
        return held

    def _join(self, request: TokenRequest) -> "tuple[Future[T], bool]":
        """Return the exchange under way for a request, begun if there is none, and whether it was begun."""
        with self._lock:
            if (flight := self._flights.get(request)) is not None:
                return flight, False
            flight = Future()
            held = self._held.get(request)
            if held is not None and time.time() < held.expires_on:
                # The exchange that this asker would have joined ended a moment ago.
                flight.set_result(held)
                return flight, False
            # A running future cannot be cancelled by one of those who await it.
            flight.set_running_or_notify_cancel()
            self._flights[request] = flight
            return flight, True

    def _fly(self, request: TokenRequest, flight: "Future[T]") -> None:
        """Make the exchange and tell everyone who waits; never raises what the exchange raised."""
        try:
            token = self._exchange(request)
        except Exception as error:  # noqa: BLE001 - it is raised again by the future, to every asker
            self._land(request, flight)
            flight.set_exception(error)
        except BaseException:
            # A task time-out or an interrupt is meant for this thread alone.
            self._land(request, flight)
            flight.set_exception(_Abandoned())
            raise
        else:
            self._held[request.without_claims()] = token
            self._land(request, flight)
            flight.set_result(token)

    def _land(self, request: TokenRequest, flight: "Future[T]") -> None:
        with self._lock:
            # After a fork the flights are new ones.
            if self._flights.get(request) is flight:
                del self._flights[request]

    def _fly_in_thread(self, request: TokenRequest, flight: "Future[T]") -> None:
        # Not the event loop's executor: those who fill it may be waiting for this very token. A daemon, so that a
        # process that wants to end does not wait for Entra.
        thread = threading.Thread(target=self._fly, args=(request, flight), name="azure-wi-token-exchange", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._land(request, flight)
            flight.set_exception(_Abandoned())
            raise

    def _renew_in_background(self, request: TokenRequest, now: float) -> None:
        with self._lock:
            if request in self._flights:
                return
            self._renewal_tried_at[request] = now
            flight: Future[T] = Future()
            flight.set_running_or_notify_cancel()
            flight.add_done_callback(_log_failed_renewal)
            self._flights[request] = flight
        try:
            self._fly_in_thread(request, flight)
        except RuntimeError:
            # A process that is shutting down starts no threads; the token at hand is still valid.
            logger.debug("Not renewing an access token: no thread can be started", exc_info=True)

    def _start_over(self) -> None:
        """Forget exchanges under way and locks: those who hold them do not exist on this side of a fork."""
        self._lock = threading.Lock()
        self._flights: dict[TokenRequest, Future[T]] = {}
        self._exchange.start_over()


def is_renewal_due(token: Token, now: float) -> bool:
    """Return whether a token, valid as it may be, should be exchanged anew."""
    if token.refresh_on is not None and now >= token.refresh_on:
        return True
    return token.expires_on - now <= RENEW_BEFORE_EXPIRY_SECONDS


def _log_failed_renewal(flight: "Future[Any]") -> None:
    if (error := flight.exception()) is not None and not isinstance(error, _Abandoned):
        logger.warning("An access token could not be renewed; the one at hand is used until it expires. %s", error)


_all_shared_tokens: "weakref.WeakSet[SharedTokens[Any]]" = weakref.WeakSet()


def _start_over_after_fork() -> None:
    for tokens in list(_all_shared_tokens):
        tokens._start_over()


os.register_at_fork(after_in_child=_start_over_after_fork)
