"""A stand-in for Azure Key Vault: secrets, for access tokens that the simulated Entra signed for one identity."""

import ssl
from collections.abc import Mapping
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure

# Not that of other tests: azure-keyvault-secrets remembers the tenant of each vault, for the whole process.
HOST = "backend-vault.vault.azure.net"
URL = f"https://{HOST}"
AUDIENCE = "https://vault.azure.net"


class KeyVault:
    """Answers as https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses says.

    :param reader: the identity that may read secrets.
    :ivar secrets: the values, by name.
    :ivar read: the names of the secrets that were asked for with a valid access token, in order.
    """

    def __init__(self, azure: OfflineAzure, reader: ManagedIdentity) -> None:
        self.secrets: dict[str, str] = {}
        self.read: list[str] = []
        self._reader = reader
        keys = f"{azure.entra.authority_host}/{reader.tenant_id}/discovery/v2.0/keys"
        trusted = ssl.create_default_context(cafile=azure.environment()["SSL_CERT_FILE"])
        self._keys = jwt.PyJWKClient(keys, ssl_context=trusted)
        self.app = Starlette(routes=[Route("/secrets/{name}/{version:path}", self._answer)])

    def _answer(self, request: Request) -> Response:
        try:
            claims = self._claims(request.headers.get("authorization", ""))
        except jwt.PyJWTError as error:
            return _refusal(401, "Unauthorized", str(error), {"WWW-Authenticate": self._challenge()})
        if claims["oid"] != self._reader.principal_id:
            return _refusal(403, "Forbidden", "The user, group or application does not have secrets get permission")
        name = request.path_params["name"]
        self.read.append(name)
        if name not in self.secrets:
            return _refusal(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return JSONResponse({"value": self.secrets[name], "id": f"{URL}/secrets/{name}/3c2a", "attributes": {}})

    def _claims(self, authorization: str) -> dict[str, Any]:
        token = authorization.removeprefix("Bearer ")
        key = self._keys.get_signing_key_from_jwt(token)
        claims: dict[str, Any] = jwt.decode(token, key.key, algorithms=["RS256"], audience=AUDIENCE)
        return claims

    def _challenge(self) -> str:
        where = f"https://login.microsoftonline.com/{self._reader.tenant_id}"
        return f'Bearer authorization="{where}", resource="{AUDIENCE}"'


def _refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
