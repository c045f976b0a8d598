"""JSON as people pass it on: from a shell of any system, with a tool's warnings before it."""

import json
import re
from typing import Any

# Where a line begins with JSON that tools print: an object, or an array of objects. "[WARNING] ..." is neither.
_START = re.compile(r"^[ \t]*(?=\{\s*[\"}]|\[\s*[{\]])", re.MULTILINE)


def decoded(data: bytes) -> str:
    """Return a text that may have a byte order mark, be UTF-16 (as PowerShell's ``>`` writes it) or have ``\\r\\n``.

    :raises ValueError: if it is not text.
    """
    text = data.decode(json.detect_encoding(data))
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def parsed(text: str) -> Any:
    """Return what the one JSON text in a text says, whatever lines of others are before and after it.

    :raises ValueError: if there is none, or more than one; the message says which.
    """
    if not text.strip():
        raise ValueError("it is empty")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is not JSON (nested too deeply)") from None
    except ValueError as error:
        problem = f"it is not JSON ({error})"
    start = _START.search(text)
    if start is None:
        raise ValueError(problem)
    try:
        value, end = json.JSONDecoder().raw_decode(text, start.end())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if _START.search(text, end):
        raise ValueError("it holds more than one JSON text")
    return value
