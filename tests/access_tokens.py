"""Validates access tokens as a service of Azure does: for the tests' stand-ins of such services."""

import ssl
from typing import Any

import jwt

from airflow_azure_wi.testing import OfflineAzure


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
