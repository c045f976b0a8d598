"""What a managed identity trusts, compared with what it should: missing, wrong and superfluous credentials."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation.credentials import FederatedIdentityCredential


@dataclass(frozen=True)
class Existing:
    """A federated identity credential as the Azure CLI lists it.

    :param subject: empty for one that matches subjects by an expression.
    """

    name: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]


@dataclass(frozen=True)
class Wrong:
    """A credential that is meant for a workload, but does not match its tokens.

    :param replacement: what it has to be, under the name that it has.
    :param because: what differs.
    """

    existing: Existing
    replacement: FederatedIdentityCredential
    because: str


@dataclass(frozen=True)
class Comparison:
    """What has to change on an identity.

    :param superfluous: credentials for none of the workloads; others may be using them.
    """

    missing: tuple[FederatedIdentityCredential, ...]
    wrong: tuple[Wrong, ...]
    superfluous: tuple[Existing, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing has to change."""
        return not (self.missing or self.wrong or self.superfluous)


def parse_list(text: str, *, source: str) -> tuple[Existing, ...]:
    """Parse what ``az identity federated-credential list`` prints.

    :param source: where the text comes from, as messages shall name it.
    :raises FederationError: if it is something else.
    """
    expected = "expected what `az identity federated-credential list --output json` prints"
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FederationError([f"{source} is not JSON ({error}), {expected}"]) from None
    if not isinstance(listed, list):
        raise FederationError([f"{source} holds no JSON array, {expected}"])
    existing = [_existing(entry) for entry in listed]
    if None in existing:
        number = existing.index(None) + 1
        raise FederationError(
            [f"{source}: entry {number} lacks a name, issuer or audiences (as printable text), {expected}"]
        )
    return tuple(credential for credential in existing if credential is not None)


def compare(wanted: Sequence[FederatedIdentityCredential], existing: Sequence[Existing]) -> Comparison:
    """Compare what an identity should trust with what it does."""
    unused = list(existing)
    unmatched, wrong = _match_exactly(wanted, unused)
    missing = []
    for credential in unmatched:
        near = next((old for old in unused if _is_near_miss(old, credential)), None)
        if near is None:
            missing.append(credential)
            continue
        unused.remove(near)
        wrong.append(_wrong(near, credential, _difference(near, credential)))
    return Comparison(tuple(missing), tuple(wrong), tuple(unused))


def _match_exactly(
    wanted: Sequence[FederatedIdentityCredential], unused: list[Existing]
) -> tuple[list[FederatedIdentityCredential], list[Wrong]]:
    """Take out of ``unused`` what is there for the wanted; return what found none, and what has a wrong audience.

    It goes before near misses are looked for, so that no credential is taken for the near miss of another.
    """
    unmatched, wrong = [], []
    for credential in wanted:
        found = next((old for old in unused if _is_same_workload(old, credential)), None)
        if found is None:
            unmatched.append(credential)
            continue
        unused.remove(found)
        if credential.audience not in found.audiences:
            because = f"its audience is {', '.join(found.audiences)}, expected {credential.audience}"
            wrong.append(_wrong(found, credential, because))
    return unmatched, wrong


def _existing(entry: Any) -> Existing | None:
    if not isinstance(entry, Mapping):
        return None
    # The Azure CLI prints the values at the top; the REST API keeps them in "properties".
    properties = entry.get("properties")
    values = {**properties, **entry} if isinstance(properties, Mapping) else entry
    texts = [values.get("name"), values.get("issuer"), values.get("subject") or ""]
    audiences = values.get("audiences")
    if not isinstance(audiences, list) or not all(_is_printable(text) for text in [*texts, *audiences]):
        return None
    name, issuer, subject = map(str, texts)
    return Existing(name, issuer, subject, tuple(audiences))


def _is_printable(text: Any) -> bool:
    # It goes into comments of a script, which end with the line.
    return isinstance(text, str) and text.isprintable()


def _wrong(existing: Existing, credential: FederatedIdentityCredential, because: str) -> Wrong:
    return Wrong(existing, replace(credential, name=existing.name), because)


def _is_same_workload(existing: Existing, credential: FederatedIdentityCredential) -> bool:
    return (existing.issuer, existing.subject) == (credential.issuer, credential.subject)


def _is_near_miss(existing: Existing, credential: FederatedIdentityCredential) -> bool:
    """Say whether only what a person overlooks differs: letter case, spaces, a slash at the end."""
    return _loosely(existing.issuer, existing.subject) == _loosely(credential.issuer, credential.subject)


def _loosely(issuer: str, subject: str) -> tuple[str, str]:
    return issuer.strip().rstrip("/").lower(), subject.strip().lower()


def _difference(existing: Existing, credential: FederatedIdentityCredential) -> str:
    pairs = [("issuer", existing.issuer, credential.issuer), ("subject", existing.subject, credential.subject)]
    return "; ".join(
        f"its {what} is {found!r}, expected {wanted!r}" for what, found, wanted in pairs if found != wanted
    )
