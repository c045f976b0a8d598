"""Sharing, with an exchange that is a plain function: no Azure is needed to see who waits for whom."""

import asyncio
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

import pytest

from airflow_azure_wi.auth.token_cache import TokenCache, TokenRequest

STORAGE = TokenRequest(("https://storage.azure.com/.default",))
VAULT = TokenRequest(("https://vault.azure.net/.default",))


@dataclass(frozen=True)
class FakeToken:
    number: int
    expires_on: int
    refresh_on: int | None = None


@dataclass
class FakeExchange:
    """Counts exchanges, lasts for ``seconds``, and raises what ``failures`` holds before it succeeds."""

    seconds: float = 0.05
    lifetime: int = 3600
    refresh_in: int | None = None
    failures: list[BaseException] = field(default_factory=list)
    requests: list[TokenRequest] = field(default_factory=list)
    announced: list[int] = field(default_factory=list)
    restarts: int = 0

    def __call__(self, request: TokenRequest) -> FakeToken:
        self.requests.append(request)
        number = len(self.requests)
        time.sleep(self.seconds)
        if self.failures:
            raise self.failures.pop(0)
        now = int(time.time())
        refresh_on = None if self.refresh_in is None else now + self.refresh_in
        return FakeToken(number, now + self.lifetime, refresh_on)

    def announce(self, request: TokenRequest, token: FakeToken) -> None:
        self.announced.append(token.number)

    def overdue(self, request: TokenRequest) -> Exception:
        return RuntimeError("overdue")

    def start_over(self) -> None:
        self.restarts += 1


def in_threads(count: int, ask: Callable[[], Any]) -> list[Any]:
    """Call ``ask`` in as many threads at once; an exception stands for what it returned."""
    ready = threading.Barrier(count)

    def run() -> Any:
        ready.wait()
        try:
            return ask()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(count)]]


async def in_coroutines(count: int, ask: Callable[[], Any]) -> list[Any]:
    return await asyncio.gather(*(ask() for _ in range(count)), return_exceptions=True)


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_fifty_threads_make_one_exchange() -> None:
    exchange = FakeExchange()
    tokens = TokenCache(exchange)
    assert {token.number for token in in_threads(50, lambda: tokens.get(STORAGE))} == {1}
    assert len(exchange.requests) == 1


def test_two_hundred_coroutines_make_one_exchange() -> None:
    exchange = FakeExchange()
    tokens = TokenCache(exchange)
    got = asyncio.run(in_coroutines(200, lambda: tokens.aget(STORAGE)))
    assert {token.number for token in got} == {1}
    assert len(exchange.requests) == 1


def test_threads_and_event_loops_share_tokens() -> None:
    exchange = FakeExchange()
    tokens = TokenCache(exchange)
    first = asyncio.run(tokens.aget(STORAGE))
    assert asyncio.run(tokens.aget(STORAGE)) is first
    assert tokens.get(STORAGE) is first


def test_scopes_do_not_wait_for_each_other() -> None:
    release = threading.Event()

    class Stuck(FakeExchange):
        def __call__(self, request: TokenRequest) -> FakeToken:
            if request == VAULT:
                release.wait(10)
            return super().__call__(request)

    tokens = TokenCache(Stuck())
    stuck = threading.Thread(target=tokens.get, args=(VAULT,))
    stuck.start()
    assert tokens.get(STORAGE)
    assert stuck.is_alive()
    release.set()
    stuck.join()


def test_claims_and_cae_are_different_tokens() -> None:
    exchange = FakeExchange()
    tokens = TokenCache(exchange)
    for request in (
        STORAGE,
        TokenRequest(STORAGE.scopes, claims="{}"),
        TokenRequest(STORAGE.scopes, enable_cae=True),
    ):
        tokens.get(request)
    assert len(exchange.requests) == 3


def test_a_claims_challenge_replaces_the_token_it_challenges() -> None:
    tokens = TokenCache(FakeExchange())
    tokens.get(STORAGE)
    challenged = tokens.get(TokenRequest(STORAGE.scopes, claims="{}"))
    assert tokens.get(STORAGE) is challenged


def test_everyone_who_waits_gets_the_error_and_the_next_one_tries_again() -> None:
    exchange = FakeExchange(failures=[RuntimeError("refused")])
    tokens = TokenCache(exchange)
    got = in_threads(20, lambda: tokens.get(STORAGE))
    assert {str(error) for error in got} == {"refused"}
    assert len(exchange.requests) == 1
    assert tokens.get(STORAGE).number == 2


def test_coroutines_that_wait_get_the_error() -> None:
    exchange = FakeExchange(failures=[RuntimeError("refused")])
    tokens = TokenCache(exchange)
    got = asyncio.run(in_coroutines(20, lambda: tokens.aget(STORAGE)))
    assert {str(error) for error in got} == {"refused"}


class TaskTimeout(BaseException):
    """As Airflow's time-out of a task: raised in a thread at whatever it does."""


@pytest.mark.parametrize("kind", [TaskTimeout, RuntimeError])
def test_an_asker_that_is_stopped_leaves_the_others_their_token(kind: type[BaseException]) -> None:
    exchange = FakeExchange(seconds=0.3)
    tokens = TokenCache(exchange)
    stopped: list[BaseException] = []

    def leader() -> None:
        try:
            tokens.get(STORAGE)
        except BaseException as error:
            stopped.append(error)

    thread = threading.Thread(target=leader)
    thread.start()
    assert eventually(lambda: len(exchange.requests) == 1)
    raise_in(thread, kind)
    got = in_threads(5, lambda: tokens.get(STORAGE))
    thread.join()
    assert isinstance(stopped[0], kind)
    assert {token.number for token in got} == {1}


def raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind)) == 1


def points_of(ask: Callable[[], Any]) -> int:
    """Return how many lines of the package are executed in this thread while a token is asked for."""
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if "token_cache" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        ask()
    finally:
        sys.settrace(None)
    return count


def test_whatever_the_point_at_which_an_asker_is_stopped_the_next_one_gets_a_token() -> None:
    """Injected at each line of the package that the asker's thread executes."""
    count = points_of(lambda: TokenCache(FakeExchange(seconds=0.02)).get(STORAGE))
    assert count > 20
    for point in range(count):
        tokens = TokenCache(FakeExchange(seconds=0.02))
        at = 0

        def trace(frame: Any, event: str, _: Any, point: int = point) -> Any:
            nonlocal at
            if "token_cache" not in frame.f_code.co_filename:
                return None
            if event == "line":
                at += 1
                if at == point + 1:
                    raise TaskTimeout
            return trace

        sys.settrace(trace)
        try:
            tokens.get(STORAGE)
        except TaskTimeout:
            pass
        finally:
            sys.settrace(None)
        got = in_threads(2, lambda tokens=tokens: tokens.get(STORAGE))
        assert all(isinstance(token, FakeToken) for token in got), point


def test_the_handler_of_a_signal_gets_the_token_that_it_interrupted_the_wait_for() -> None:
    """Airflow calls on_kill() in the thread that runs execute()."""
    exchange = FakeExchange(seconds=0.6)
    tokens = TokenCache(exchange)
    in_handler: list[FakeToken] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: in_handler.append(tokens.get(STORAGE)))
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        token = tokens.get(STORAGE)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert in_handler == [token]
    assert len(exchange.requests) == 1


def test_signals_at_any_point_make_nobody_wait_forever() -> None:
    exchange = FakeExchange(seconds=0)
    requests = [TokenRequest((str(number),)) for number in range(400)]
    tokens = TokenCache(exchange)
    current = STORAGE
    before = signal.signal(signal.SIGALRM, lambda *_: tokens.get(current))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
    try:
        for current in requests:
            assert tokens.get(current)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nobody_waits_longer_than_an_exchange_may_take() -> None:
    exchange = FakeExchange(seconds=3)
    tokens = TokenCache(exchange, longest_seconds=0.5)
    begun = time.monotonic()
    got = in_threads(3, lambda: tokens.get(STORAGE))
    assert {str(error) for error in got} == {"overdue"}
    [error] = asyncio.run(in_coroutines(1, lambda: tokens.aget(STORAGE)))
    assert str(error) == "overdue"
    assert time.monotonic() - begun < 2.5
    exchange.seconds = 0
    assert tokens.get(STORAGE), "an exchange that hangs keeps nobody who comes later"


class EarlyLoop(asyncio.SelectorEventLoop):
    """Its timers are early, as those of loops with a coarse clock are."""

    def call_later(self, delay: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        return super().call_later(max(delay - 0.05, 0.0), *args, **kwargs)


def test_a_timer_that_is_early_does_not_block_the_event_loop() -> None:
    cache = TokenCache(FakeExchange(seconds=3), longest_seconds=0.3)
    loop = EarlyLoop()
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="overdue"):
        loop.run_until_complete(cache.aget(STORAGE))
    loop.close()
    assert time.monotonic() - begun < 2


def test_the_one_who_asked_first_announces_the_token() -> None:
    exchange = FakeExchange()
    tokens = TokenCache(exchange)
    in_threads(10, lambda: tokens.get(STORAGE))
    tokens.get(STORAGE)
    asyncio.run(tokens.aget(VAULT))
    assert exchange.announced == [1, 2]


def test_expired_tokens_are_not_kept() -> None:
    tokens = TokenCache(FakeExchange(seconds=0, lifetime=-1))
    got = [weakref.ref(tokens.get(TokenRequest((str(number),)))) for number in range(100)]
    assert not tokens.is_in_use()
    gc.collect()
    assert sum(token() is not None for token in got) <= 1


def test_a_cancelled_coroutine_leaves_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    exchange = FakeExchange(seconds=0.2, failures=[RuntimeError("refused")])
    tokens = TokenCache(exchange)

    async def ask() -> None:
        asking = asyncio.ensure_future(tokens.aget(STORAGE))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.sleep(0.3)

    with caplog.at_level(logging.WARNING):
        asyncio.run(ask())
    assert caplog.text == ""


def test_a_coroutine_that_is_cancelled_leaves_the_others_their_token() -> None:
    exchange = FakeExchange(seconds=0.2)
    tokens = TokenCache(exchange)

    async def ask() -> Any:
        first = asyncio.ensure_future(tokens.aget(STORAGE))
        others = [asyncio.ensure_future(tokens.aget(STORAGE)) for _ in range(5)]
        await asyncio.sleep(0.05)
        first.cancel()
        return await asyncio.gather(*others)

    assert {token.number for token in asyncio.run(ask())} == {1}
    assert len(exchange.requests) == 1


def test_an_expired_token_is_not_handed_out() -> None:
    exchange = FakeExchange(seconds=0, lifetime=-1)
    tokens = TokenCache(exchange)
    assert tokens.get(STORAGE).number == 1
    assert tokens.get(STORAGE).number == 2


@pytest.mark.parametrize("due", [{"lifetime": 200}, {"lifetime": 3600, "refresh_in": 0}])
def test_renewal_before_expiry_stalls_nobody(due: dict[str, int]) -> None:
    exchange = FakeExchange(seconds=0, **due)
    tokens = TokenCache(exchange)
    tokens.get(STORAGE)
    exchange.seconds = 0.5
    begun = time.monotonic()
    got = in_threads(20, lambda: tokens.get(STORAGE))
    assert time.monotonic() - begun < 0.4
    assert {token.number for token in got} == {1}
    assert eventually(lambda: tokens.get(STORAGE).number == 2)
    assert len(exchange.requests) == 2


def test_a_renewal_that_fails_is_logged_and_the_token_at_hand_is_used(caplog: pytest.LogCaptureFixture) -> None:
    exchange = FakeExchange(seconds=0, lifetime=200)
    tokens = TokenCache(exchange)
    tokens.get(STORAGE)
    exchange.failures.append(RuntimeError("Entra is away"))
    with caplog.at_level(logging.WARNING):
        assert tokens.get(STORAGE).number == 1
        assert eventually(lambda: "Entra is away" in caplog.text)
    assert tokens.get(STORAGE).number == 1
    assert len(exchange.requests) == 2, "a failed renewal is not repeated at once"


def test_a_token_that_needs_no_renewal_is_not_renewed() -> None:
    exchange = FakeExchange(seconds=0)
    tokens = TokenCache(exchange)
    for _ in range(10):
        tokens.get(STORAGE)
    time.sleep(0.05)
    assert len(exchange.requests) == 1


def test_a_fork_in_the_middle_of_an_exchange_leaves_the_child_free() -> None:
    exchange = FakeExchange(seconds=1.0)
    tokens = TokenCache(exchange)
    tokens.get(VAULT)
    parent = threading.Thread(target=tokens.get, args=(STORAGE,))
    parent.start()
    assert eventually(lambda: len(exchange.requests) == 2)

    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def child() -> None:
        exchange.seconds = 0
        before = len(exchange.requests)
        tokens.get(VAULT)
        tokens.get(STORAGE)
        answers.put((exchange.restarts, len(exchange.requests) - before))

    process = context.Process(target=child)
    process.start()
    parent.join()
    try:
        restarts, exchanges = answers.get(timeout=10)
    except Empty:
        pytest.fail("the child waits for an exchange that only the parent makes")
    finally:
        process.kill()
    assert restarts == exchange.restarts + 1
    assert exchanges == 1, "the child has the parent's valid token for one scope, and gets the other itself"
