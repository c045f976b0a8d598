"""Validates client assertions as Entra does: against federated identity credentials and the issuer's keys."""

import json
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import jwt

from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.testing.cluster import served_at
from airflow_azure_wi.testing.identities import FederatedIdentityCredential, ManagedIdentity
from airflow_azure_wi.testing.refusals import Refusal

_FETCH_SECONDS = 5.0

# The claim that says how the application authenticated, and its values for an assertion and a secret:
# https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference#payload-claims
AUTHENTICATED_BY = "azpacr"
BY_ASSERTION, BY_SECRET = "2", "1"

# The parts of a token in the order in which they are compared, and the code if no credential matches.
_NO_MATCH = {"issuer": "AADSTS700211", "subject": "AADSTS700213", "audience": "AADSTS700212"}
_DIFFERS_IN_CASE = "AADSTS7002138"


@dataclass(frozen=True)
class Assertion:
    """A client assertion, not verified.

    :param value: the assertion itself. It is a secret: keep it out of reprs and messages.
    :param header: its header; empty if it is not a JSON Web Token.
    :param claims: its claims; empty if it is not a JSON Web Token.
    """

    value: str = field(repr=False)
    header: dict[str, Any]
    claims: dict[str, Any]

    @classmethod
    def parse(cls, value: str) -> "Assertion":
        """Parse an assertion. Anything is accepted."""
        try:
            parts = jwt.api_jwt.decode_complete(value, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return cls(value, {}, {})
        return cls(value, parts["header"], parts["payload"])

    @property
    def issuer(self) -> str:
        """The issuer, or ``""``."""
        return str(self.claims.get("iss", ""))

    @property
    def subject(self) -> str:
        """The subject, or ``""``."""
        return str(self.claims.get("sub", ""))

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences, in order."""
        audience = self.claims.get("aud", ())
        return tuple(map(str, audience)) if isinstance(audience, list) else (str(audience),)

    @property
    def id(self) -> str:
        """The token id (``jti``), or ``""``."""
        return str(self.claims.get("jti", ""))

    def details(self) -> dict[str, Any]:
        """Return what refusals quote from it."""
        return {
            "issuer": self.issuer,
            "subject": self.subject,
            "audience": ", ".join(self.audiences),
            "key_id": self.header.get("kid", ""),
            "part": "subject",
            "value": self.subject,
        }


class IssuerKeys:
    """The keys that issuers publish, fetched over HTTPS and cached.

    :param context: the TLS context that verifies the issuers' certificates.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        # Without a proxy: issuers are served on loopback, whatever proxy the environment sets.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        self._keys: dict[str, dict[str, jwt.PyJWK]] = {}
        self._own: dict[str, dict[str, jwt.PyJWK]] = {}
        self._lock = threading.Lock()

    def add_own(self, issuer: str, key_set: Any) -> None:
        """Add the keys of an issuer that is Entra itself. They are not fetched."""
        with self._lock:
            self._own[issuer] = _by_id(key_set)

    def find(self, issuer: str, key_id: str) -> jwt.PyJWK | None:
        """Return an issuer's key. If the key is unknown, fetch the issuer's keys again.

        :raises OSError, ValueError, KeyError, jwt.PyJWTError: if the issuer does not publish its keys correctly.
        """
        with self._lock:
            if issuer in self._own:
                return self._own[issuer].get(key_id)
            if key_id not in self._keys.get(issuer, {}):
                self._keys[issuer] = self._fetch_keys(issuer)
            return self._keys[issuer].get(key_id)

    def _fetch_keys(self, issuer: str) -> dict[str, jwt.PyJWK]:
        document = self._fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document["issuer"] != issuer:
            raise ValueError(f"The discovery document of {issuer} names another issuer: {document['issuer']}.")
        return _by_id(self._fetch(document["jwks_uri"]))

    def _fetch(self, url: str) -> Any:
        if not url.startswith("https://"):
            raise ValueError(f"{url} is not an https URL.")
        with self._opener.open(served_at(url), timeout=_FETCH_SECONDS) as response:
            return json.load(response)


def _by_id(key_set: Any) -> dict[str, jwt.PyJWK]:
    return {key.key_id: key for key in jwt.PyJWKSet.from_dict(key_set).keys if key.key_id}


def entra_issuer(tenant_id: str) -> str:
    """Return the issuer of the tokens that Entra itself issues for its token exchange."""
    return f"{PUBLIC.authority_host}/{tenant_id}/v2.0"


def validate(assertion: Assertion, identity: ManagedIdentity, keys: IssuerKeys) -> None:
    """Check that the managed identity trusts a client assertion.

    The credentials are checked first: they say which issuer's keys to fetch.

    :raises Refusal: if it does not.
    """
    if not assertion.claims:
        raise Refusal("AADSTS50027", {})
    _match(assertion, identity)
    is_entras_own = assertion.issuer.startswith(PUBLIC.authority_host)
    if is_entras_own and assertion.issuer != entra_issuer(identity.registered_in):
        raise Refusal("AADSTS700236", assertion.details())
    _verify_signature(assertion, keys)
    if is_entras_own:
        # https://github.com/Azure/azure-workload-identity/issues/1363, https://github.com/Azure/azure-sdk-for-net/issues/49212
        was_federated = assertion.claims.get(AUTHENTICATED_BY) == BY_ASSERTION
        raise Refusal("AADSTS700231" if was_federated else "AADSTS700222", assertion.details())
    _verify_times(assertion)


def _match(assertion: Assertion, identity: ManagedIdentity) -> None:
    """Find the credential that matches an assertion: by issuer, then subject, then audience, letter by letter.

    https://learn.microsoft.com/entra/identity-platform/reference-breaking-changes (August 2024). Unverified: that a
    difference in case has its own code for issuer and audience too.
    """
    candidates = identity.federated_credentials
    if not candidates:
        raise Refusal("AADSTS70025", {"client_id": identity.client_id, "name": identity.name})
    for part, code in _NO_MATCH.items():
        presented = _values(assertion, part)
        expected = frozenset().union(*(_values(credential, part) for credential in candidates))
        if not presented & expected:
            differs_in_case = {value.lower() for value in presented} & {value.lower() for value in expected}
            details = {**assertion.details(), "part": part, "value": assertion.details()[part]}
            raise Refusal(_DIFFERS_IN_CASE if differs_in_case else code, details)
        candidates = tuple(credential for credential in candidates if presented & _values(credential, part))


def _values(of: Assertion | FederatedIdentityCredential, part: str) -> frozenset[str]:
    return frozenset(of.audiences if part == "audience" else [getattr(of, part)])


def _verify_signature(assertion: Assertion, keys: IssuerKeys) -> None:
    if assertion.header.get("alg") != "RS256":
        raise Refusal("AADSTS50027", {})
    try:
        key = keys.find(assertion.issuer, str(assertion.header.get("kid", "")))
    except (OSError, ValueError, KeyError, jwt.PyJWTError):
        raise Refusal("AADSTS50166", {}) from None
    if key is None:
        raise Refusal("AADSTS7000272", assertion.details())
    try:
        jwt.api_jws.decode(assertion.value, key.key, algorithms=["RS256"])
    except jwt.InvalidTokenError:
        raise Refusal("AADSTS700027", assertion.details()) from None


def _verify_times(assertion: Assertion) -> None:
    now = time.time()
    expiry, not_before = assertion.claims.get("exp"), assertion.claims.get("nbf", 0)
    if not isinstance(expiry, int | float) or not isinstance(not_before, int | float):
        raise Refusal("AADSTS50027", {})
    if not not_before <= now < expiry:
        raise Refusal(
            "AADSTS700024",
            {"now": _timestamp(now), "not_before": _timestamp(not_before), "expiry": _timestamp(expiry)},
        )


def _timestamp(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S.%f}0Z"
