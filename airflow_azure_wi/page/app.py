"""The page's ASGI application: who may ask for what, and with which headers it answers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_azure_wi import __version__, airflow_compat
from airflow_azure_wi.clouds import CLOUDS
from airflow_azure_wi.page import check, connect, link
from airflow_azure_wi.provider import README_CONNECTION

_STATIC = Path(__file__).parent / "static"

# Nothing but this Airflow may be asked, run or shown, and nothing but this Airflow may show the page.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
    "base-uri": "'none'",
}
_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Method = Literal["GET", "POST", "PUT"]

_LONGEST_ID = 250
_LONGEST_PASTED = 100_000

_templates = Environment(
    loader=PackageLoader("airflow_azure_wi.page"), autoescape=select_autoescape(), undefined=StrictUndefined
)


class Pasted(BaseModel):
    """What was pasted in step 2."""

    pasted: str = Field(max_length=_LONGEST_PASTED)
    connection_id: str = Field(max_length=_LONGEST_ID)
    cloud: str = Field(default="", max_length=_LONGEST_ID)


class Chosen(BaseModel):
    """The connection that was chosen in step 3."""

    connection_id: str = Field(max_length=_LONGEST_ID)


def _may(user: Any, method: Method, conn_id: str | None = None) -> bool:
    details = airflow_compat.connection_details(conn_id)
    return bool(get_auth_manager().is_authorized_connection(method=method, details=details, user=user))


def _may_edit(user: Any) -> bool:
    return _may(user, "POST") or _may(user, "PUT")


def _editor(user: GetUserDep) -> Any:
    if not _may_edit(user):
        raise HTTPException(403, "Linking and connecting is for those who may edit connections.")
    return user


def _reader(user: GetUserDep) -> Any:
    if not _may(user, "GET"):
        raise HTTPException(403, "Checking a connection is for those who may read connections.")
    return user


Editor = Annotated[Any, Depends(_editor)]
Reader = Annotated[Any, Depends(_reader)]


def show(user: GetUserDep) -> HTMLResponse:
    """Answer with the page: those steps of it that the user may take."""
    may_edit, may_read = _may_edit(user), _may(user, "GET")
    if not (may_edit or may_read):
        raise HTTPException(403, "This page is for those who may read or edit connections.")
    known = [conn_id for conn_id in check.stored() if _may(user, "GET", conn_id)] if may_read else []
    return _html(
        "page.html",
        may_edit=may_edit,
        may_read=may_read,
        here=link.this_deployment() if may_edit else None,
        clouds=CLOUDS.values(),
        known=known,
        default_id=known[0] if len(known) == 1 else README_CONNECTION,
    )


def answer_link(asked: link.Asked, user: Editor) -> dict[str, Any]:
    """Answer with what links the workloads, or with what is wrong, by field."""
    return link.answer(asked)


def answer_connection(asked: Pasted, user: Editor) -> dict[str, Any]:
    """Answer with the connection that was pasted, or with what is wrong, by field."""
    return connect.connection_from(asked.pasted, asked.connection_id, asked.cloud)


def answer_check(asked: Chosen, user: Reader) -> dict[str, Any]:
    """Answer with the doctor's report for this process."""
    if not _may(user, "GET", asked.connection_id):
        raise HTTPException(403, "This connection is not among those that you may read.")
    return check.report_on(asked.connection_id)


def build() -> FastAPI:
    """Return the application, which Airflow mounts under its own."""
    app = FastAPI(title="Azure Workload Identity", openapi_url=None)
    app.get("/", response_class=HTMLResponse, response_model=None)(show)
    app.post("/link", response_model=None)(answer_link)
    app.post("/connection", response_model=None)(answer_connection)
    app.post("/check", response_model=None)(answer_check)
    app.mount("/static", StaticFiles(directory=_STATIC))
    for error in (StarletteHTTPException, RequestValidationError):
        app.add_exception_handler(error, _refuse)
    app.middleware("http")(_with_headers)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    """Say in HTML, for the frame of Airflow's page, why there is nothing to see."""
    # What FastAPI says of a request that it cannot read repeats what is in it.
    status = getattr(error, "status_code", 422)
    reason = str(getattr(error, "detail", "The request is not one that this page makes."))
    if status == 401:
        reason = "Sign in to Airflow and open this page again."
    # The page's own address, so that its style is found from that of each route.
    return _html("refused.html", status, reason=reason, root=request.scope.get("root_path", ""))


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _html(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(name).render(version=__version__, **values), status)
