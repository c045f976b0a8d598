"""A plain HTTPS server that stands for every Azure service but storage: it writes down who asked it for what."""

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_azure_wi.testing.server import HttpsServer

HOSTS = (
    "management.azure.com",
    "graph.microsoft.com",
    "graph.microsoft.us",
    "api.powerbi.com",
    "westeurope.asazure.windows.net",
    "acct.westeurope.batch.azure.com",
    "acct.documents.azure.com",
    "acct.azuredatalakestore.net",
    "acct.dfs.core.windows.net",
    "acct.blob.core.windows.net",
    "acct.file.core.windows.net",
    "acct.services.ai.azure.com",
    "acct.servicebus.windows.net",
    "acct.westeurope.kusto.windows.net",
    "acct.dev.azuresynapse.net",
)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Answer:
    """What is answered to requests whose method and path match."""

    pattern: str
    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A request that arrived, with the claims of its access token (None where it had none)."""

    host: str
    method: str
    path: str
    claims: dict[str, Any] | None


class Recorder:
    """Serves all of ``HOSTS``, inside ``with``; a request to any other host fails its TLS handshake."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        server = authority.issue_cert(*HOSTS)
        self.ca_pem = authority.cert_pem.bytes()
        self.certificate_file, self.key_file = directory / "recorder.pem", directory / "recorder-key.pem"
        self.certificate_file.write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))
        self.key_file.write_bytes(server.private_key_pem.bytes())
        self.requests: list[Recorded] = []
        self.answers: tuple[Answer, ...] = ()
        routes = [Route("/{path:path}", self._answer, methods=METHODS)]
        self._server = HttpsServer(Starlette(routes=routes), self)  # type: ignore[arg-type]
        self.port = int(self._server.url.rpartition(":")[2])

    def __enter__(self) -> "Recorder":
        self._server.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.stop()

    async def _answer(self, request: Request) -> Response:
        self.requests.append(
            Recorded(request.url.hostname or "", request.method, request.url.path, _claims_in(request))
        )
        for answer in self.answers:
            if re.search(answer.pattern, f"{request.method} {request.url.path}"):
                return _response(answer)
        return _response(Answer(""))


def _claims_in(request: Request) -> dict[str, Any] | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return jwt.decode(token, options={"verify_signature": False}) if kind.lower() == "bearer" else None


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, str):
        return Response(answer.body, answer.status, {"Content-Type": "application/xml", **answer.headers})
    return Response(json.dumps(answer.body), answer.status, {"Content-Type": "application/json", **answer.headers})


def redirect_to(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find every host on loopback, and the recorder at the port for HTTPS."""
    look_up: Callable[..., Any] = socket.getaddrinfo
    connect = socket.socket.connect

    def on_loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return look_up("127.0.0.1" if name in HOSTS else host, *args, **kwargs)

    def at_the_recorder(self: socket.socket, address: Any) -> None:
        connect(self, ("127.0.0.1", recorder.port) if address == ("127.0.0.1", 443) else address)

    monkeypatch.setattr(socket, "getaddrinfo", on_loopback)
    monkeypatch.setattr(socket.socket, "connect", at_the_recorder)
