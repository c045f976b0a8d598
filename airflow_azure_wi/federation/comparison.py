"""What an identity trusts, compared with what it should: missing, wrong and extra credentials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_azure_wi import connection_formats
from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation import FederatedIdentityCredential
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

    @classmethod
    def from_json(cls, entry: Any) -> "Existing | None":
        """Parse an entry of what the Azure CLI or the REST API lists; None if it is not that."""
        if not isinstance(entry, Mapping):
            return None
        # The Azure CLI prints the values at the top; the REST API keeps them in "properties".
        properties = entry.get("properties")
        values = {**properties, **entry} if isinstance(properties, Mapping) else entry
        name, issuer, subject = values.get("name"), values.get("issuer"), values.get("subject") or ""
        audiences = values.get("audiences")
        if not isinstance(audiences, list) or not all(map(_is_printable, [name, issuer, subject, *audiences])):
            return None
        flexible = values.get("claimsMatchingExpression")
        expression = flexible.get("value") if isinstance(flexible, Mapping) else flexible
        expression = expression if isinstance(expression, str) else None
        identifier = values.get("id") if _is_printable(values.get("id")) else None
        return cls(str(name), str(issuer), subject, tuple(audiences), expression, identifier)

    def as_json(self) -> dict[str, object]:
        """Return it with the names that the Azure CLI uses."""
        shown: dict[str, object] = {"name": self.name, "issuer": self.issuer, "subject": self.subject}
        expression = {"claimsMatchingExpression": self.expression} if self.expression else {}
        return shown | {"audiences": list(self.audiences)} | expression


@dataclass(frozen=True)
class Wrong:
    """A credential that is meant for a workload, but does not match its tokens.

    :param wanted: what was asked for.
    :param because: what differs.
    """

    existing: Existing
    wanted: FederatedIdentityCredential
    because: str

    @property
    def replacement(self) -> FederatedIdentityCredential:
        """What it has to be, under the name that it has."""
        return replace(self.wanted, name=self.existing.name)

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

    def existing(self) -> dict[str, Existing]:
        """Return the credentials that are there for the workloads, by their names."""
        there = [*(existing for _, existing in self.matching), *(wrong.existing for wrong in self.wrong)]
        return {existing.name: existing for existing in there}

    def under_existing_names(
        self, wanted: Iterable[FederatedIdentityCredential]
    ) -> tuple[FederatedIdentityCredential, ...]:
        """Return credentials, those that exist under another name with that name."""
        names = {credential: existing.name for credential, existing in self.matching}
        names |= {wrong.wanted: wrong.existing.name for wrong in self.wrong}
        return tuple(replace(credential, name=names.get(credential, credential.name)) for credential in wanted)


def parse_list(text: str, *, source: str) -> tuple[Existing, ...]:
    """Parse what ``az identity federated-credential list`` prints.

    :param source: where the text comes from, in messages.
    :raises FederationError: if it is something else.
    """
    expected = "expected what `az identity federated-credential list --output json` prints"
    try:
        listed = connection_formats.parse_json(text)
    except ValueError as error:
        raise FederationError([("check", f"{source}: {error}, {expected}")]) from None
    # The REST API wraps the list.
    listed = listed.get("value", listed) if isinstance(listed, dict) else listed
    if not isinstance(listed, list):
        raise FederationError([("check", f"{source} holds no JSON array, {expected}")])
    existing = []
    for number, entry in enumerate(listed, 1):
        if (found := Existing.from_json(entry)) is None:
            problem = f"entry {number} lacks a name, issuer or audiences (as printable text)"
            raise FederationError([("check", f"{source}: {problem}, {expected}")])
        existing.append(found)
    return tuple(existing)


def compare(wanted: Sequence[FederatedIdentityCredential], existing: Sequence[Existing]) -> Comparison:
    """Compare what an identity should trust with what it does."""
    unused = [each for each in existing if each.subject]
    wrong, matching, unmatched, missing = [], [], [], []
    # Near misses come last, so that no credential is taken for the near miss of another.
    for credential in wanted:
        found = next((old for old in unused if _key(old) == _key(credential)), None)
        if found is None:
            unmatched.append(credential)
            continue
        unused.remove(found)
        if found.audiences == (credential.audience,):
            matching.append((credential, found))
        else:
            because = _difference("audience", ", ".join(found.audiences), credential.audience)
            wrong.append(Wrong(found, credential, because))
    for credential in unmatched:
        found = next((old for old in unused if _loose_key(old) == _loose_key(credential)), None)
        if found is None:
            missing.append(credential)
            continue
        unused.remove(found)
        pairs = [("issuer", found.issuer, credential.issuer), ("subject", found.subject, credential.subject)]
        because = "; ".join(_difference(*each) for each in pairs if each[1] != each[2])
        wrong.append(Wrong(found, credential, because))
    flexible = tuple(each for each in existing if not each.subject)
    return Comparison(tuple(missing), tuple(wrong), tuple(unused), flexible, tuple(matching))


def _is_printable(text: Any) -> bool:
    # It goes into comments of a script, which end with the line.
    return isinstance(text, str) and text.isprintable()


def _key(credential: Existing | FederatedIdentityCredential) -> tuple[str, str]:
    return credential.issuer, credential.subject


def _loose_key(credential: Existing | FederatedIdentityCredential) -> tuple[str, str]:
    """Leave out what a person overlooks: letter case, spaces, a slash at the end."""
    return credential.issuer.strip().rstrip("/").lower(), credential.subject.strip().lower()


def _difference(what: str, found: str, wanted: str) -> str:
    difference = (
        f"its {what} is {quoted(found, longest=_LONGEST_VALUE)}, expected {quoted(wanted, longest=_LONGEST_VALUE)}"
    )
    if found != wanted and found.lower() == wanted.lower():
        return f"{difference}: only the letter case differs, which Entra refuses with AADSTS7002138"
    return difference
