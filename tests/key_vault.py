"""A stand-in for Azure Key Vault: secrets, for access tokens that the simulated Entra signed for one identity."""

from collections.abc import Mapping

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.access_tokens import AccessTokenValidator

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
        self._validator = AccessTokenValidator(azure)
        self.app = Starlette(routes=[Route("/secrets/{name}/{version:path}", self._answer)])

    def _answer(self, request: Request) -> Response:
        try:
            claims = self._validator.claims(request.headers.get("authorization", "").removeprefix("Bearer "), AUDIENCE)
        except jwt.PyJWTError as error:
            return _refusal(401, "Unauthorized", str(error), {"WWW-Authenticate": self._challenge()})
        if claims["oid"] != self._reader.principal_id:
            return _refusal(403, "Forbidden", "The user, group or application does not have secrets get permission")
        name = request.path_params["name"]
        self.read.append(name)
        if name not in self.secrets:
            return _refusal(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return JSONResponse({"value": self.secrets[name], "id": f"{URL}/secrets/{name}/3c2a", "attributes": {}})

    def _challenge(self) -> str:
        where = f"https://login.microsoftonline.com/{self._reader.tenant_id}"
        return f'Bearer authorization="{where}", resource="{AUDIENCE}"'


def _refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
