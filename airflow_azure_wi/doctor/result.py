"""What the checks find, for people (text of 80 columns), for programs (JSON), and for a message."""

import logging
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from airflow_azure_wi.redaction import escaped, excerpt, quoted

_WIDTH = 80
_MARGIN = " " * 27
_LONGEST_VERDICT = 300
_NO_SIGN_IN = "Nothing failed, but no sign-in was made."
_LINK = "This makes Microsoft Entra ID accept the federated token of this workload."
_ROLE = "This assigns the role."
_RUN_IT = "Run it in a shell where the Azure CLI is signed in; it takes a few minutes to work:"


class Status(str, Enum):
    """Whether what a check found is good."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """What a check returns: the fields of a :class:`Result`, without the name."""

    status: Status
    found: str
    next_step: str | None = None
    commands: tuple[str, ...] = ()
    cause: str | None = None


@dataclass(frozen=True)
class Result:
    """The result of one check.

    :param found: what it found; never a token.
    :param next_step: what to do about it, or None where there is nothing to do.
    :param commands: shell commands that fix it, ready to run.
    :param cause: what is wrong in a sentence, if that is not how ``found`` begins.
    """

    name: str
    status: Status
    found: str
    next_step: str | None = None
    commands: tuple[str, ...] = ()
    cause: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as a program reads it."""
        return {
            "name": self.name,
            "status": self.status.value,
            "found": self.found,
            "nextStep": self.next_step,
            "commands": list(self.commands),
        }


@dataclass(frozen=True)
class Remark:
    """What a report adds when no check failed.

    :param commands: shell commands that the text introduces.
    """

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All results, in the order of the checks.

    :param about: what was examined, such as ``connection 'azure_wi'``.
    :param signed_in: who signed in, or None if the sign-in failed.
    :param remark: what was not checked, if the sign-in worked.
    """

    about: str
    results: tuple[Result, ...]
    signed_in: str | None
    remark: Remark | None = None

    @classmethod
    def of_missing_connection(cls, conn_id: str, reason: str) -> "Report":
        """Return what there is to say of a connection that Airflow does not have."""
        found = f"Airflow has no connection {quoted(conn_id)}: {excerpt(reason)}"
        next_step = "Add it under Admin > Connections, or give the id of one that is there."
        return cls(f"connection {quoted(conn_id)}", (Result("connection", Status.FAILED, found, next_step),), None)

    @classmethod
    def of_unreadable_connection(cls, conn_id: str, reason: str) -> "Report":
        """Return what there is to say of a connection that Airflow cannot read."""
        found = f"Airflow cannot read the connection {quoted(conn_id)}: {excerpt(reason)}"
        next_step = "Check Airflow's Fernet key and its secrets backend, or save the connection again."
        return cls(f"connection {quoted(conn_id)}", (Result("connection", Status.FAILED, found, next_step),), None)

    @property
    def is_ok(self) -> bool:
        """Whether no check failed."""
        return not any(self.failed())

    def failed(self) -> Iterator[Result]:
        """Return the results of the checks that failed."""
        return (result for result in self.results if result.status is Status.FAILED)

    def verdict(self) -> str:
        """Return who signed in or, if a check failed, what is wrong and what to do: for Airflow's Test button.

        Its page shows the message for seconds, as one paragraph.
        """
        failed = next(self.failed(), None)
        if failed is None:
            return _cut(self.signed_in or _NO_SIGN_IN, _LONGEST_VERDICT)
        next_step = f" Next step: {failed.next_step}" if failed.next_step else ""
        cause = failed.cause or failed.found.partition("\n")[0]
        room = max(_LONGEST_VERDICT - len(next_step), _LONGEST_VERDICT // 3)
        return _cut(_cut(cause, room) + next_step, _LONGEST_VERDICT)

    def as_json(self) -> dict[str, Any]:
        """Return the report as programs read it, made of what JSON has."""
        remark = self.remark if self.is_ok else None
        return {
            "about": self.about,
            "ok": self.is_ok,
            "signedIn": self.signed_in,
            "remark": remark and {"text": remark.text, "commands": list(remark.commands)},
            "checks": [result.as_json() for result in self.results],
        }

    def as_text(self) -> str:
        """Return the report as people read it; the last lines say what to do first, with commands ready to copy."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"Examining {escaped(self.about)}"
        yield ""
        for result in self.results:
            yield from _lines_of(result)
        yield ""
        yield _wrapped(self._verdict())
        # Several scopes that are refused for the same reason have one command.
        commands = {command: result.name for result in self.failed() for command in result.commands}
        for command, name in commands.items():
            yield from ("", _wrapped(f"{_ROLE if name == 'reading' else _LINK} {_RUN_IT}"), "", command)
        if self.remark is not None and self.is_ok:
            yield from ("", _wrapped(self.remark.text))
            for command in self.remark.commands:
                yield from ("", command)

    def _verdict(self) -> str:
        if failed := [result.name for result in self.failed()]:
            return f"Failed: {', '.join(failed)}."
        return self.signed_in or _NO_SIGN_IN


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3].rstrip()}..."


def log_report(logger: Any, text: str, *, is_ok: bool) -> None:
    """Write the text of a report into a log, at whatever level that is set to.

    :param logger: a logger of the standard library, or of an Airflow operator.
    """
    level = max(logging.INFO if is_ok else logging.ERROR, logger.getEffectiveLevel())
    logger.log(level, "\n%s", text)


def format_duration(seconds: float) -> str:
    """Return a duration in the unit that fits it, such as ``41 min``."""
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} days"


def _lines_of(result: Result) -> Iterator[str]:
    mark = result.status.value.upper() if result.status in (Status.WARNING, Status.FAILED) else result.status.value
    paragraphs = result.found.splitlines() or [""]
    if result.next_step:
        paragraphs.append(f"Next step: {result.next_step}")
    for number, paragraph in enumerate(paragraphs):
        # Each check escapes what it quotes; a terminal is protected in any case.
        yield _wrapped(escaped(paragraph), _MARGIN if number else f"{mark:<9}{result.name:<18}", _MARGIN)


def _wrapped(paragraph: str, first: str = "", margin: str = "") -> str:
    # Not within URLs, subjects and paths: they are there to be compared and copied.
    return textwrap.fill(
        paragraph,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
