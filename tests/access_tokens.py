"""Validates access tokens as a service of Azure does: for the tests' stand-ins of such services."""

import ssl
from dataclasses import dataclass
from typing import Any

import jwt

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure


class AccessTokenValidator:
    """Takes access tokens that the simulated Entra signed. The keys are fetched once for each tenant."""

    def __init__(self, azure: OfflineAzure) -> None:
        self._authority_host = azure.entra.authority_host
        self._trusted = ssl.create_default_context(cafile=azure.environment()["SSL_CERT_FILE"])
        self._keys: dict[str, jwt.PyJWKClient] = {}

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """Return the claims of a token.

        :raises jwt.PyJWTError: unless Entra signed it for this audience, for the tenant that it names, and it is valid
            now.
        """
        tenant = str(jwt.decode(token, options={"verify_signature": False}).get("tid"))
        if tenant not in self._keys:
            url = f"{self._authority_host}/{tenant}/discovery/v2.0/keys"
            self._keys[tenant] = jwt.PyJWKClient(url, ssl_context=self._trusted)
        claims: dict[str, Any] = jwt.decode(
            token,
            self._keys[tenant].get_signing_key_from_jwt(token).key,
            algorithms=["RS256"],
            audience=audience,
            issuer=f"https://sts.windows.net/{tenant}/",
            # A token that is sent in its last moment arrives after it.
            leeway=1,
            options={"require": ["exp", "nbf", "oid"]},
        )
        return claims


@dataclass(frozen=True)
class SignIn:
    """An attempt to sign in: as which role, with a token of which claims, and why it was refused, if it was."""

    role: str
    claims: dict[str, Any]
    refused: str | None = None


class DatabaseRoles:
    """The roles of a database server of Azure: each belongs to one principal, and an access token is the password.

    https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-azure-ad-authentication,
    https://learn.microsoft.com/azure/mysql/flexible-server/concepts-azure-ad-authentication

    :ivar sign_ins: all attempts so far, without those for an earlier role of the same name.
    """

    AUDIENCE = "https://ossrdbms-aad.database.windows.net"

    def __init__(self, azure: OfflineAzure) -> None:
        self.sign_ins: list[SignIn] = []
        self._principals: dict[str, ManagedIdentity] = {}
        self._validator = AccessTokenValidator(azure)

    def create(self, role: str, identity: ManagedIdentity) -> None:
        """Let an identity sign in as a new role; what other tests did with one of this name is forgotten."""
        self.sign_ins[:] = [each for each in self.sign_ins if each.role != role]
        self.accept(role, identity)

    def accept(self, role: str, identity: ManagedIdentity) -> None:
        """Let an identity sign in as a role."""
        self._principals[role] = identity

    def sign_in(self, role: str, token: str) -> SignIn:
        """Check a token as Azure does, and keep what came of it."""
        sign_in = self._checked(role, token)
        self.sign_ins.append(sign_in)
        return sign_in

    def _checked(self, role: str, token: str) -> SignIn:
        claims: dict[str, Any] = {}
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            principal = self._principals[role]
            self._validator.claims(token, self.AUDIENCE)
        except (jwt.PyJWTError, KeyError) as error:
            return SignIn(role, claims, f"{type(error).__name__}: {error}")
        is_its_own = (claims["tid"], claims["oid"]) == (principal.tenant_id, principal.principal_id)
        return SignIn(role, claims, None if is_its_own else "the token is for another principal than the role")
