"""What a federated token and an access token claim, and reading the file that the cluster projects."""

import base64
import json
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_azure_wi.deployment import DEVELOPMENT_OPTION
from airflow_azure_wi.errors import FederatedTokenError
from airflow_azure_wi.identity import is_guid
from airflow_azure_wi.redaction import excerpt, quoted

_PROJECT_IT = (
    'On AKS, give the pod the label azure.workload.identity/use: "true"; elsewhere, project a service account token '
    "into the pod and set AZURE_FEDERATED_TOKEN_FILE to its path"
)
ROTATION_ADVICE = (
    "Check that the file is a projected volume, not a copy, that it is mounted without subPath (which never sees a "
    "rotation), and that this machine's clock is right."
)
_ON_A_LAPTOP = f"On a laptop, {DEVELOPMENT_OPTION} = azure_cli signs in as you instead"

# A token of Kubernetes is some kilobytes long.
_LONGEST_TOKEN = 64 * 1024

_LONGEST_PATH = 1000
# Entra takes none longer than this in a federated identity credential.
_LONGEST_CLAIM = 600

# Header, claims and signature.
_PARTS_OF_A_TOKEN = 3

# The kubelet replaces a projected token by renaming a symbolic link; a read that falls into that instant, or meets
# a file that a simpler writer has truncated, is worth repeating before it is an error.
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05

# In the order in which they name a person best; an application has none of them.
_NAMES_OF_A_PERSON = ("upn", "preferred_username", "unique_name", "email")


@dataclass(frozen=True)
class FederatedToken:
    """A federated token and the claims by which Microsoft Entra ID recognizes the workload.

    :param value: the JSON Web Token itself. It is a secret, and stays out of reprs and messages.
    :param issuer: who signed it: the cluster's OIDC issuer URL.
    :param subject: the workload, in Kubernetes ``system:serviceaccount:<namespace>:<service account>``.
    :param audience: whom it is for.
    :param issued_at: when it was signed, in seconds since the epoch (UTC), or None if it does not say.
    :param expires_at: when it expires, in seconds since the epoch (UTC), or None if it does not say.
    :param not_before: when it becomes valid, in seconds since the epoch (UTC), or None if it does not say.
    """

    value: str = field(repr=False)
    issuer: str
    subject: str
    audience: tuple[str, ...]
    issued_at: float | None
    expires_at: float | None
    not_before: float | None = None

    @classmethod
    def parse(cls, text: str, *, source: str) -> "FederatedToken":
        """Read the claims of a token without validating its signature, which is Entra's to validate.

        :param text: the token, as it stands in the file.
        :param source: where the token comes from, the name used in messages.
        :raises FederatedTokenError: if it is not a JSON Web Token. The message never holds the text.
        """
        value = _Hidden(text.strip())
        claims = unverified_claims(value)
        if claims is None:
            found = f"{len(value)} characters of something else" if value else "an empty file"
            raise FederatedTokenError(
                f"{source} does not hold a federated token: found {found}, expected a JSON Web Token "
                f"(three base64url parts, separated by dots). {_PROJECT_IT}."
            )
        audience = claims.get("aud", ())
        return cls(
            value=value,
            issuer=str(claims.get("iss", "")),
            subject=str(claims.get("sub", "")),
            audience=tuple(map(str, audience)) if isinstance(audience, list | tuple) else (str(audience),),
            issued_at=_seconds(claims.get("iat")),
            expires_at=_seconds(claims.get("exp")),
            not_before=_seconds(claims.get("nbf")),
        )

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until expiry (negative once expired), or None if the token never says.

        :param now: the time, in seconds since the epoch (UTC).
        """
        return None if self.expires_at is None else self.expires_at - now

    def describe_claims(self) -> str:
        """Return the claims that Entra compares, for messages: nothing in it is secret."""
        claims = {"issuer": self.issuer, "subject": self.subject, "audience": ", ".join(self.audience)}
        return ", ".join(f"{name} {quoted(value, longest=_LONGEST_CLAIM)}" for name, value in claims.items())

    def validity(self) -> str:
        """Return when it is valid, for messages."""
        return f"valid from {as_utc(self.not_before)} to {as_utc(self.expires_at)}"


def read_federated_token(path: Path, *, named_by: str, must_be_valid: bool = False) -> FederatedToken:
    """Read the federated token from its file.

    A file that is missing, or holds no token, is read again for a fraction of a second: rotation replaces it.

    :param path: the file.
    :param named_by: what named the file, such as ``AZURE_FEDERATED_TOKEN_FILE``, for the messages.
    :param must_be_valid: whether a token that has expired is an error.
    :raises FederatedTokenError: if there is no readable file, or no JSON Web Token in it.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _read_once(path, named_by, must_be_valid)
        except FederatedTokenError:
            time.sleep(_PAUSE_SECONDS)
    return _read_once(path, named_by, must_be_valid)


def unverified_claims(token: str) -> Mapping[str, Any] | None:
    """Return the claims of a JSON Web Token, its signature not validated, or None if it is not one.

    Not PyJWT: it takes longer than all that this package adds to an exchange otherwise.
    """
    parts = token.split(".")
    if len(parts) != _PARTS_OF_A_TOKEN:
        return None
    try:
        header, claims = (json.loads(_base64url(part)) for part in parts[:2])
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) and isinstance(header, dict) else None


def as_utc(seconds: float | None) -> str:
    """Return a time of a token, for messages."""
    if seconds is None:
        return "an unknown time"
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return excerpt(f"second {seconds}")


def account_in(access_token: str) -> str:
    """Return the name of the account that an access token is for: a person's, or else an application's client id."""
    claims = unverified_claims(access_token) or {}
    names = (claims.get(claim) for claim in (*_NAMES_OF_A_PERSON, "appid", "azp"))
    return next((str(name) for name in names if name), "an application that the token does not name")


def object_id_in(access_token: str) -> str | None:
    """Return the object id of the service principal or person that an access token is for, or None."""
    object_id = str((unverified_claims(access_token) or {}).get("oid"))
    return object_id if is_guid(object_id) else None


def _base64url(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _read_once(path: Path, named_by: str, must_be_valid: bool) -> FederatedToken:
    source = f"The federated token file {quoted(str(path), longest=_LONGEST_PATH)} (from {named_by})"
    text, problem = _content_of(path)
    # Raised here, and not where the file is read, so that a report of each frame's variables shows no token.
    if problem is not None:
        raise FederatedTokenError(f"{source} {problem}")
    token = FederatedToken.parse(text, source=source)
    seconds_left = token.seconds_left(time.time())
    if must_be_valid and seconds_left is not None and seconds_left <= 0:
        raise FederatedTokenError(
            f"{source} holds a federated token that expired {-seconds_left:.0f} s ago ({token.describe_claims()}), "
            f"expected one that whoever projects it keeps replacing. {ROTATION_ADVICE}"
        )
    return token


def _content_of(path: Path) -> "tuple[_Hidden, str | None]":
    """Return what is in a file, and what is wrong with it."""
    nothing = _Hidden()
    try:
        # Not waiting for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return nothing, "is not a regular file, expected one that holds a JSON Web Token."
            content = _read_all(descriptor, _LONGEST_TOKEN + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return nothing, f"does not exist. {_PROJECT_IT}. {_ON_A_LAPTOP}."
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return nothing, (
            f"cannot be read: {reason}. Expected a file that the user of this process may read; in a pod, fsGroup in "
            "the security context decides that."
        )
    if len(content) > _LONGEST_TOKEN:
        return nothing, f"is larger than {_LONGEST_TOKEN // 1024} KiB, expected a JSON Web Token."
    try:
        return _Hidden(content.decode()), None
    except UnicodeDecodeError:
        return nothing, "does not hold text, expected a JSON Web Token."


def _read_all(descriptor: int, most: int) -> bytes:
    content = b""
    while len(content) < most and (more := os.read(descriptor, most - len(content))):
        content += more
    return content


class _Hidden(str):
    """A text that shows itself to nobody who prints the variables of a frame."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def _seconds(claim: Any) -> float | None:
    if not isinstance(claim, int | float) or isinstance(claim, bool):
        return None
    try:
        return float(claim)
    except OverflowError:
        return None
