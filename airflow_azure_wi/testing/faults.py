"""Faults of a token endpoint, for ``SimulatedEntra.fail_next``."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refuse:
    """Refuse with an error code of Entra.

    :param code: such as ``"AADSTS700213"``.
    """

    code: str


@dataclass(frozen=True)
class Status:
    """Answer with an HTTP status, a body and headers, such as ``Status(429, headers={"Retry-After": "1"})``."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """Wait this many seconds, then close the connection without an answer."""

    seconds: float


@dataclass(frozen=True)
class CloseConnection:
    """Close the connection without an answer."""


@dataclass(frozen=True)
class Delay:
    """Answer as usual, this many seconds later."""

    seconds: float


Fault = Refuse | Status | Hang | CloseConnection | Delay
