"""What is counted of token exchanges, for an observer such as Airflow's metrics. Without one, nothing is.

An observer may be slow, hang or take locks that the one who waits for a token holds. So it is called in the thread of
the exchange, after everyone who waited has the outcome. Whatever it raises, no exchange fails for it.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

logger = logging.getLogger(__name__)

EXCHANGE = "azure_workload_identity.token_exchange"
DURATION = f"{EXCHANGE}.duration"
# The code of an exchange that ended before anything was sent.
NO_FEDERATED_TOKEN = "no_federated_token"
RENEWAL = "azure_workload_identity.token_renewal"
DISK_CACHE_HIT = "azure_workload_identity.disk_cache_hit"

# What nobody fetches is forgotten, the oldest first.
_MOST_NOTED = 1000


class Measurement(NamedTuple):
    """Something to count or to time. Neither name nor tags hold an id of a connection, an identity or a service.

    :param milliseconds: None for a counter.
    """

    name: str
    tags: Mapping[str, str]
    milliseconds: float | None = None


Observer = Callable[[Measurement], None]

_observers: list[Observer] = []
_noted: deque[Measurement] = deque(maxlen=_MOST_NOTED)


def observe(observer: Observer | None) -> None:
    """Have everything that is counted from now on given to one observer, or to none."""
    _observers[:] = [] if observer is None else [observer]


def note(name: str, *, milliseconds: float | None = None, **tags: str) -> None:
    """Note something for :func:`report`."""
    if _observers:
        _noted.append(Measurement(name, tags, milliseconds))


def note_exchange(code: str | None, seconds: float | None) -> None:
    """Note that a token exchange ended.

    :param code: why it failed, one of few; None if it gave a token.
    :param seconds: how long it took; None if nothing was sent.
    """
    outcome = "success" if code is None else "failure"
    note(EXCHANGE, outcome=outcome, code=code or "none")
    # StatsD without tags says how it ended by the name.
    note(f"{EXCHANGE}.{outcome}" if code is None else f"{EXCHANGE}.{outcome}.{code}")
    if seconds is not None:
        note(DURATION, milliseconds=seconds * 1000, outcome=outcome)


def report() -> None:
    """Give the observer what was noted; called where nobody waits."""
    while _observers:
        try:
            measurement = _noted.popleft()
        except IndexError:
            return
        try:
            _observers[0](measurement)
        except Exception as error:  # noqa: BLE001 - whatever a metrics backend raises
            logger.debug("A measurement was lost: %s", type(error).__name__)


# The parent reports what it noted.
os.register_at_fork(after_in_child=_noted.clear)
