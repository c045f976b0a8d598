"""A plain HTTPS server that stands for every Azure service but storage: it writes down who asked it for what."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_azure_wi.testing import OfflineAzure

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
    "recorded.blob.core.windows.net",
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
    """Answers for all of ``HOSTS`` in an offline Azure, whose clients trust it and find it under these names."""

    def __init__(self, azure: OfflineAzure) -> None:
        self.requests: list[Recorded] = []
        self.answers: tuple[Answer, ...] = ()
        azure.serve(Starlette(routes=[Route("/{path:path}", self._answer, methods=METHODS)]), *HOSTS)

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
