"""What an identity trusts, compared with what it should: missing, wrong and extra credentials."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_azure_wi import pasted_json
from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation.credentials import FederatedIdentityCredential
from airflow_azure_wi.redaction import quoted

# As long as Entra lets them be: what differs may be at the end.
_LONGEST_VALUE = 600


@dataclass(frozen=True)
class Existing:
    """A federated identity credential as the Azure CLI lists it.

    :param subject: empty for a flexible one, which matches subjects by an expression:
        https://learn.microsoft.com/entra/workload-id/workload-identities-flexible-federated-identity-credentials
    :param expression: that expression.
    :param id: the id that Microsoft Graph gives the credential of an application, or Azure that of an identity.
    """

    name: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    expression: str | None = None
    id: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return it with the names that the Azure CLI uses."""
        shown: dict[str, object] = {"name": self.name, "issuer": self.issuer, "subject": self.subject}
        expression = {"claimsMatchingExpression": self.expression} if self.expression else {}
        return shown | {"audiences": list(self.audiences)} | expression


@dataclass(frozen=True)
class Wrong:
    """A credential that is meant for a workload, but does not match its tokens.

    :param wanted: what was asked for.
    :param replacement: what it has to be, under the name that it has.
    :param because: what differs.
    """

    existing: Existing
    wanted: FederatedIdentityCredential
    replacement: FederatedIdentityCredential
    because: str

    @property
    def differs_in_case_only(self) -> bool:
        """Whether Entra refuses it with AADSTS7002138."""
        found, wanted = self.existing, self.wanted
        pairs = ((found.issuer, wanted.issuer), (found.subject, wanted.subject))
        return any(a != b for a, b in pairs) and all(a.lower() == b.lower() for a, b in pairs)


@dataclass(frozen=True)
class Comparison:
    """What has to change on an identity.

    :param extra: credentials for none of the workloads; others may be using them.
    :param flexible: credentials that match by an expression. Nothing is proposed for them: issuers of service accounts
        have none, so they belong to others.
    :param matching: credentials that are as they should be.
    """

    missing: tuple[FederatedIdentityCredential, ...]
    wrong: tuple[Wrong, ...]
    extra: tuple[Existing, ...]
    flexible: tuple[Existing, ...] = ()
    matching: tuple[tuple[FederatedIdentityCredential, Existing], ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing has to change."""
        return not (self.missing or self.wrong or self.extra)

    @property
    def others(self) -> int:
        """How many credentials the identity holds for others."""
        return len(self.extra) + len(self.flexible)

    def existing(self) -> Iterator[Existing]:
        """Return the credentials that are there for the workloads."""
        yield from (existing for _, existing in self.matching)
        yield from (wrong.existing for wrong in self.wrong)

    def under_existing_names(self) -> dict[FederatedIdentityCredential, FederatedIdentityCredential]:
        """Return for each credential that exists, perhaps under another name, what it is to be under that name."""
        matching = {wanted: replace(wanted, name=existing.name) for wanted, existing in self.matching}
        return matching | {wrong.wanted: wrong.replacement for wrong in self.wrong}


def parse_list(text: str, *, source: str) -> tuple[Existing, ...]:
    """Parse what ``az identity federated-credential list`` prints.

    :param source: where the text comes from, in messages.
    :raises FederationError: if it is something else.
    """
    expected = "expected what `az identity federated-credential list --output json` prints"
    try:
        listed = pasted_json.parsed(text)
    except ValueError as error:
        raise FederationError([f"{source}: {error}, {expected}"]) from None
    # The REST API wraps the list.
    listed = listed.get("value", listed) if isinstance(listed, dict) else listed
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
    flexible = tuple(each for each in existing if not each.subject)
    unused = [each for each in existing if each.subject]
    unmatched, wrong, matching = _match_exactly(wanted, unused)
    missing = []
    for credential in unmatched:
        near = next((old for old in unused if _is_near_miss(old, credential)), None)
        if near is None:
            missing.append(credential)
            continue
        unused.remove(near)
        wrong.append(_wrong(near, credential, _difference(near, credential)))
    return Comparison(tuple(missing), tuple(wrong), tuple(unused), flexible, tuple(matching))


def _match_exactly(
    wanted: Sequence[FederatedIdentityCredential], unused: list[Existing]
) -> tuple[list[FederatedIdentityCredential], list[Wrong], list[tuple[FederatedIdentityCredential, Existing]]]:
    """Take out of ``unused`` what is there for the wanted; return what found none, has another audience, and is right.

    This is done before near misses are looked for, so that no credential is taken for the near miss of another.
    """
    unmatched, wrong, matching = [], [], []
    for credential in wanted:
        found = next((old for old in unused if _is_same_workload(old, credential)), None)
        if found is None:
            unmatched.append(credential)
            continue
        unused.remove(found)
        if found.audiences == (credential.audience,):
            matching.append((credential, found))
        else:
            because = _difference_of("audience", ", ".join(found.audiences), credential.audience)
            wrong.append(_wrong(found, credential, because))
    return unmatched, wrong, matching


def _existing(entry: Any) -> Existing | None:
    if not isinstance(entry, Mapping):
        return None
    # The Azure CLI prints the values at the top; the REST API keeps them in "properties".
    properties = entry.get("properties")
    values = {**properties, **entry} if isinstance(properties, Mapping) else entry
    texts = [values.get("name"), values.get("issuer"), values.get("subject") or ""]
    flexible = values.get("claimsMatchingExpression")
    expression = flexible.get("value") if isinstance(flexible, Mapping) else flexible
    audiences = values.get("audiences")
    if not isinstance(audiences, list) or not all(_is_printable(text) for text in [*texts, *audiences]):
        return None
    name, issuer, subject = map(str, texts)
    identifier = values.get("id")
    return Existing(
        name,
        issuer,
        subject,
        tuple(audiences),
        expression if isinstance(expression, str) else None,
        identifier if _is_printable(identifier) else None,
    )


def _is_printable(text: Any) -> bool:
    # It goes into comments of a script, which end with the line.
    return isinstance(text, str) and text.isprintable()


def _wrong(existing: Existing, credential: FederatedIdentityCredential, because: str) -> Wrong:
    return Wrong(existing, credential, replace(credential, name=existing.name), because)


def _is_same_workload(existing: Existing, credential: FederatedIdentityCredential) -> bool:
    return (existing.issuer, existing.subject) == (credential.issuer, credential.subject)


def _is_near_miss(existing: Existing, credential: FederatedIdentityCredential) -> bool:
    """Say whether only what a person overlooks differs: letter case, spaces, a slash at the end."""
    return _loosely(existing.issuer, existing.subject) == _loosely(credential.issuer, credential.subject)


def _loosely(issuer: str, subject: str) -> tuple[str, str]:
    return issuer.strip().rstrip("/").lower(), subject.strip().lower()


def _difference(existing: Existing, credential: FederatedIdentityCredential) -> str:
    pairs = [("issuer", existing.issuer, credential.issuer), ("subject", existing.subject, credential.subject)]
    return "; ".join(_difference_of(what, found, wanted) for what, found, wanted in pairs if found != wanted)


def _difference_of(what: str, found: str, wanted: str) -> str:
    difference = (
        f"its {what} is {quoted(found, longest=_LONGEST_VALUE)}, expected {quoted(wanted, longest=_LONGEST_VALUE)}"
    )
    if found != wanted and found.lower() == wanted.lower():
        return f"{difference}: only the letter case differs, which Entra refuses with AADSTS7002138"
    return difference
