"""What is shown of a value that comes from outside: never a token or a password, bounded, control characters escaped.

Every message, report and log line that quotes a connection, an option, an environment variable, an argument, a claim or
the answer of a server does so through :func:`quoted` or :func:`excerpt`.
"""

import base64
import json
import re

LONGEST_QUOTED = 80
LONGEST_EXCERPT = 500

# More than that is not searched: a token is under 64 KiB, and what is cut off is not shown either.
_LONGEST_SEARCHED = 64 * 1024

_HIDDEN = "[not shown]"

# A JSON object in base64url begins with these three letters; `{"alg"...` is how a JSON Web Token does.
_TOKEN_START = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.(?:\s{1,2}[A-Za-z0-9_-]{16,}|[A-Za-z0-9_-]*))*")
_THREE_PARTS = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{8,}){2}")
# Opaque tokens, and the keys of storage accounts.
_LONG_BASE64 = re.compile(r"[A-Za-z0-9_+=-]{80,}|[A-Za-z0-9+/]{86}==")
# What is not shown is left alone, so that a text may go through this more than once.
_BEARER = re.compile(r"(?i)\b(bearer\s+)(?!\[not shown\])\S+")
# In a password there may be, against the rules for URLs, what ends a host; digits behind the colon are a port.
_USER_IN_URL = re.compile(r"(://)(?:[^/?#\s]*|[^/?#\s:]*:(?!\d*[/?#])[^\s@]{0,200})@")
_NAMED_SECRET = re.compile(
    r"(?i)((?:access_?token|refresh_?token|id_?token|client_?assertion|assertion|client_?secret|secret|password|pwd"
    r"|account_?key|shared_?access_?key|sas_?token|sig)[\"']?\s*[:=]\s*)"
    r"(?!\[not shown\])(\"[^\"]*\"?|'[^']*'?|[^\s,;&}]+)"
)


def holds_secret(text: str) -> bool:
    """Return whether a text holds what looks like a token, a password or a key."""
    text = text[:_LONGEST_SEARCHED]
    return _without_secrets(text) != text


def quoted(value: object, *, longest: int = LONGEST_QUOTED) -> str:
    """Return a value in quotation marks, for a message; of one that looks like a secret, return only that.

    :param longest: how many characters are shown.
    """
    if isinstance(value, dict):
        return "a JSON object"
    if isinstance(value, list | tuple):
        return "a JSON array"
    text = str(value)[:_LONGEST_SEARCHED]
    if _holds_token(text):
        return "something that looks like a token (not shown)"
    if _without_secrets(text) != text:
        return "something that looks like a password or a key (not shown)"
    shown = repr(text[:longest]) if isinstance(value, str) else escaped(text[:longest])
    return shown if len(text) <= longest else f"{shown}..."


def excerpt(text: str, *, longest: int = LONGEST_EXCERPT) -> str:
    """Return a text of somebody else on one line, without what looks like a secret in it.

    :param text: such as the answer of a server.
    :param longest: how many characters are shown.
    """
    plain = escaped(_without_secrets(text[:_LONGEST_SEARCHED]))
    return plain if len(plain) <= longest else f"{plain[:longest]}..."


def escaped(text: str) -> str:
    """Return a text without characters that control a terminal, end a line or reorder what is read."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _holds_token(text: str) -> bool:
    return (
        _TOKEN_START.search(text) is not None
        or _BEARER.search(text) is not None
        or any(_is_json_object(match.group()) for match in _THREE_PARTS.finditer(text))
    )


def _without_secrets(text: str) -> str:
    text = _TOKEN_START.sub(_HIDDEN, text)
    text = _THREE_PARTS.sub(lambda match: _HIDDEN if _is_json_object(match.group()) else match.group(), text)
    text = _BEARER.sub(rf"\1{_HIDDEN}", text)
    text = _USER_IN_URL.sub(rf"\1{_HIDDEN}@", text)
    text = _NAMED_SECRET.sub(rf"\1{_HIDDEN}", text)
    return _LONG_BASE64.sub(lambda match: _HIDDEN if _is_random(match.group()) else match.group(), text)


def _is_random(text: str) -> bool:
    return any(map(str.isupper, text)) and any(map(str.islower, text)) and any(map(str.isdigit, text))


def _is_json_object(token: str) -> bool:
    """Return whether the first part of what has the form of a JSON Web Token is the header of one."""
    header = token.split(".", 1)[0]
    try:
        return isinstance(json.loads(base64.b64decode(header + "=" * (-len(header) % 4), altchars=b"-_")), dict)
    except (ValueError, RecursionError):
        return False
