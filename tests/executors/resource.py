"""A service that takes access tokens, as Azure Storage does, and writes down who came with one."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.access_tokens import AccessTokenValidator

AUDIENCE = "https://storage.azure.com"


class Resource(ThreadingHTTPServer):
    """Runs on loopback, inside ``with``.

    :param identity: whose tokens it takes, or None for those of the identity of the offline Azure.
    :ivar visits: the paths of the requests that had a valid token of the identity, in the order of their arrival.
    :ivar refusals: why the others were refused.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, azure: OfflineAzure, identity: ManagedIdentity | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        identity = identity or azure.identity
        self._claims = {"appid": identity.client_id, "tid": identity.tenant_id, "oid": identity.principal_id}
        self._validator = AccessTokenValidator(azure)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.visits: list[str] = []
        self.refusals: list[str] = []

    def __enter__(self) -> "Resource":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()

    def check(self, token: str) -> None:
        """Raise unless the token is signed by Entra, for this resource, in force, and of the identity."""
        claims = self._validator.claims(token, AUDIENCE)
        if not claims.items() >= self._claims.items():
            raise jwt.InvalidTokenError("The token is of another identity")


class _Visit(BaseHTTPRequestHandler):
    server: Resource

    def do_GET(self) -> None:
        try:
            self.server.check(self.headers.get("Authorization", "").removeprefix("Bearer "))
        except jwt.PyJWTError as error:
            self.server.refusals.append(str(error))
            self.send_response(401)
        else:
            self.server.visits.append(self.path)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing: the tests look at the visits."""
