"""What a check finds, and what all checks find together."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Status(str, Enum):
    """Whether what a check found is good."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """The result of one check.

    :param found: what it found; never a token.
    :param next_step: what to do about it, or None where there is nothing to do.
    :param commands: shell commands that fix it, as they are to be run.
    """

    name: str
    status: Status
    found: str
    next_step: str | None = None
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remark:
    """What a report adds where no check failed.

    :param commands: shell commands that it speaks of.
    """

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All results, in the order of the checks.

    :param about: what was examined, such as ``connection 'azure_wi'``.
    :param signed_in: who the sign-in was as, or None where it failed.
    :param remark: what was not checked, where somebody signed in.
    """

    about: str
    results: tuple[Result, ...]
    signed_in: str | None
    remark: Remark | None = None

    @property
    def is_ok(self) -> bool:
        """Whether no check failed."""
        return not any(self.failed())

    def failed(self) -> Iterator[Result]:
        """Return the results of the checks that failed."""
        return (result for result in self.results if result.status is Status.FAILED)

    def short(self) -> str:
        """Return who the sign-in is as or, where a check failed, the causes and what to do."""
        if self.signed_in is not None and self.is_ok:
            return self.signed_in
        parts = []
        for result in self.failed():
            parts.append(result.found)
            if result.next_step:
                parts.append(f"Next step: {result.next_step}")
            parts += result.commands
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the report as programs read it."""
        return {
            "about": self.about,
            "ok": self.is_ok,
            "signedIn": self.signed_in,
            "remark": self.remark.text if self.remark and self.is_ok else None,
            "checks": [
                {
                    "name": result.name,
                    "status": result.status.value,
                    "found": result.found,
                    "nextStep": result.next_step,
                    "commands": list(result.commands),
                }
                for result in self.results
            ],
        }
