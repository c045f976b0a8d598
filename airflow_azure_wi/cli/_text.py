"""Reading what the user names: a file, or standard input."""

import sys
from pathlib import Path

from airflow_azure_wi.cli.command import UsageError


def read_text(name: str) -> tuple[str, str]:
    """Return the text of a file (or of standard input, for ``-``) and how messages shall name it.

    :raises UsageError: if there is no such text.
    """
    try:
        if name == "-":
            return sys.stdin.read(), "standard input"
        return Path(name).read_text(encoding="utf-8"), f"file {name!r}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it does not hold text"
        raise UsageError(f"{name!r} cannot be read: {reason}. Give a file, or - for standard input.") from None
