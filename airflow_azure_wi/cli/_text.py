"""Reading what the user names: a file, or standard input."""

import sys
from pathlib import Path

from airflow_azure_wi import pasted_json
from airflow_azure_wi.cli.command import UsageError
from airflow_azure_wi.redaction import quoted


def read_text(name: str) -> tuple[str, str]:
    """Return the text of a file (or of standard input, for ``-``) and its name in messages.

    :raises UsageError: if there is no such text.
    """
    try:
        if name == "-":
            return pasted_json.decoded(sys.stdin.buffer.read()), "standard input"
        return pasted_json.decoded(Path(name).read_bytes()), f"file {quoted(name)}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it does not hold text"
        raise UsageError(f"{quoted(name)} cannot be read: {reason}. Give a file, or - for standard input.") from None
