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
    "contents.sharepoint.com",
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
    "lake.blob.core.windows.net",
    "lake.dfs.core.windows.net",
    "my-vault.vault.azure.net",
    "acct.dev.azuresynapse.net",
    "acct.openai.azure.com",
    "acct.search.windows.net",
    "adb-1234567890123456.7.azuredatabricks.net",
)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Answer:
    """What is answered to requests whose method, host and path match.

    :param pattern: a regular expression that is searched for in ``GET acct.documents.azure.com/dbs?a=1``, and in the
        same without host and query.
    :param body: text or bytes, else it is sent as JSON.
    :param to_anonymous: whether it is for requests without an access token alone.
    """

    pattern: str
    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    to_anonymous: bool = False

    def is_for(self, request: "Recorded") -> bool:
        """Whether it is what a request is answered with."""
        is_anonymous = request.claims is None
        asked = (request.path, request.host + request.path, f"{request.host}{request.path}?{request.query}")
        is_asked = any(re.search(self.pattern, f"{request.method} {what}") for what in asked)
        return is_asked and (is_anonymous or not self.to_anonymous)


@dataclass(frozen=True)
class Recorded:
    """A request that arrived, with the claims of its access token (None where it had none)."""

    host: str
    method: str
    path: str
    claims: dict[str, Any] | None
    query: str = ""
    body: bytes = b""
    user_agent: str = ""


class Recorder:
    """Answers for all of ``HOSTS`` in an offline Azure, whose clients trust it and find it under these names."""

    def __init__(self, azure: OfflineAzure) -> None:
        self.requests: list[Recorded] = []
        self.answers: tuple[Answer, ...] = ()
        azure.serve(Starlette(routes=[Route("/{path:path}", self._answer, methods=METHODS)]), *HOSTS)

    async def _answer(self, request: Request) -> Response:
        url, claims = request.url, _claims_in(request)
        sender = request.headers.get("user-agent", "")
        recorded = Recorded(
            url.hostname or "", request.method, url.path, claims, url.query, await request.body(), sender
        )
        self.requests.append(recorded)
        return _response(next((answer for answer in self.answers if answer.is_for(recorded)), Answer("")))


def _claims_in(request: Request) -> dict[str, Any] | None:
    # The second is how Cosmos DB wants it.
    found = re.match(r"(?i)(?:bearer |type=aad&ver=1\.0&sig=)(.*)", request.headers.get("authorization", ""))
    return jwt.decode(found[1], options={"verify_signature": False}) if found else None


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, str | bytes):
        return Response(answer.body, answer.status, {"Content-Type": "application/xml", **answer.headers})
    return Response(json.dumps(answer.body), answer.status, {"Content-Type": "application/json", **answer.headers})
