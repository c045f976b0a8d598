"""Answers of storage that Azurite cannot give: it has no roles, and not every account."""

from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

# https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_NO_ROLE = "AuthorizationPermissionMismatch"


def without_a_role() -> ASGIApp:
    """Return an application that answers like storage does to an identity with a token but no role."""
    return _refusal(_NO_ROLE, "This request is not authorized to perform this operation using this permission.")


def unknown_account(remedy: str) -> ASGIApp:
    """Return an application that says which account is missing, and how to add it.

    Otherwise the proxy would refuse the host, and storage clients would retry for more than a minute.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        account = (Request(scope).url.hostname or "").partition(".")[0]
        text = f"The offline Azure has no storage account {account!r}. {remedy}"
        await _refusal("AccountIsNotInTheOfflineAzure", text)(scope, receive, send)

    return answer


def _refusal(code: str, text: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>'
    return Response(body, 403, {"x-ms-error-code": code}, "application/xml")
