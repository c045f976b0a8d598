"""How token requests are sent, how their answers are read, and what of it is logged.

They go through one pool of connections of requests' own transport, with the proxies and certificate authorities of the
environment, as every Azure SDK client uses it. At most 64 KiB of an answer are read, and reading ends at a deadline
however slowly the server sends. The timeouts of requests are for a single read.
"""

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from requests import utils
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from airflow_azure_wi.endpoints import PROXY_CANNOT_BE_PARSED
from airflow_azure_wi.entra_errors import Failure, Kind, entra_error_code
from airflow_azure_wi.redaction import excerpt

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse

logger = logging.getLogger(__name__)

# A token response is some kilobytes long.
LONGEST_ANSWER = 64 * 1024
_CHUNK = 4096
_LONGEST_LIFETIME_SECONDS = 10 * 365 * 86400

_thread = threading.local()


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """End whatever this thread reads from a server at a time.

    :param deadline: in seconds of ``time.monotonic()``.
    """
    _thread.deadline = deadline
    try:
        yield
    finally:
        del _thread.deadline


def token_transport(*, connection_timeout: float, read_timeout: float) -> RequestsTransport:
    """Return a transport with a pool of connections of its own. It may be used by several threads.

    :param connection_timeout: for connecting, in seconds.
    :param read_timeout: for a single read, in seconds.
    """
    session = requests.Session()
    session.mount("https://", _BoundedAdapter())
    # The session belongs to no client, which would close it.
    return RequestsTransport(
        session=session, session_owner=False, connection_timeout=connection_timeout, read_timeout=read_timeout
    )


class _PunctualSocket(ssl.SSLSocket):
    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        left = getattr(_thread, "deadline", float("inf")) - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        timeout = self.gettimeout()
        if timeout is None or timeout > left:
            self.settimeout(None if left == float("inf") else left)
        return super().recv_into(buffer, nbytes, flags)


class _PunctualConnection(HTTPSConnection):
    def connect(self) -> None:
        # One for each connection: requests adds the certificate authorities of this moment to it.
        self.ssl_context = create_urllib3_context()
        self.ssl_context.sslsocket_class = _PunctualSocket
        super().connect()


class HTTPSConnectionPool(urllib3.HTTPSConnectionPool):
    """Under the name that urllib3's messages have."""

    ConnectionCls = _PunctualConnection


class _BoundedAnswer:
    """What urllib3 reads an answer with, and where it ends at the latest."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        length = 0
        for chunk in self._raw.stream(min(amount, _CHUNK), decode_content=decode_content):
            yield chunk
            length += len(chunk)
            if length > LONGEST_ANSWER:
                self._raw.close()
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class _BoundedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_punctual_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _use_punctual_connections(manager)
        return manager

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        # By its path: requests 2.32.0 to 2.32.4 loads its certificate authorities into a context of its own instead,
        # which is not that of our connections (https://github.com/psf/requests/issues/6717).
        everyone = utils.extract_zipped_paths(utils.DEFAULT_CA_BUNDLE_PATH)
        super().cert_verify(conn, url, everyone if verify is True else verify, cert)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        response.raw = _BoundedAnswer(response.raw)
        return response


def _use_punctual_connections(manager: Any) -> None:
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": HTTPSConnectionPool}


def failure_of(error: Exception, answers: list[str]) -> Failure:
    """Return what an exception of azure-identity says, without it: its frames hold the federated token."""
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        # The URL of the authority host was checked when the deployment was read.
        is_of_proxy = isinstance(error.inner_exception, requests.exceptions.InvalidURL)
        return Failure(Kind.UNREACHABLE, PROXY_CANNOT_BE_PARSED if is_of_proxy else excerpt(error.message))
    response = getattr(error, "response", None)
    if isinstance(error, AzureError) and response is not None:
        return Failure(
            Kind.REFUSED if response.status_code >= 400 else Kind.INVALID,
            excerpt(error.message),
            code=entra_error_code(error.message),
            status=response.status_code,
            retry_after=response.headers.get("Retry-After"),
        )
    if answers:
        return Failure(Kind.INVALID, answers[-1])
    return Failure(Kind.NOT_SENT, excerpt(f"{type(error).__name__}: {error}"))


def answer_checker(answers: list[str]) -> "Callable[[PipelineResponse[Any, Any]], None]":
    """Return what looks at each answer first: azure-identity takes a gateway's page for a token response.

    :param answers: what is answered is added to it, to be shown.
    """

    def check(response: "PipelineResponse[Any, Any]") -> None:
        answer = response.http_response
        text = f"HTTP {answer.status_code} {answer.reason}: {answer.text()}"
        answers.append(excerpt(text))
        try:
            is_object = isinstance(json.loads(answer.text()), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise ClientAuthenticationError(message=answers[-1], response=answer)

    return check


def is_usable(token: AccessTokenInfo) -> bool:
    """Return whether a token response made sense: azure-identity takes anything for a token, and any time."""
    seconds_left = token.expires_on - time.time()
    return bool(isinstance(token.token, str) and token.token and 0 < seconds_left < _LONGEST_LIFETIME_SECONDS)


# What azure-core and azure-identity log of an exchange: a dozen lines of HTTP, and all that was answered in a refusal.
# The task's log has one line for each exchange, and the error; the rest is for those who look for it with DEBUG.
http_logger = logging.getLogger(f"{__name__}.http")


@contextmanager
def quietly() -> Iterator[None]:
    """Keep this thread's lines about token requests out of the log, unless DEBUG is asked for."""
    _thread.is_quiet = True
    try:
        yield
    finally:
        _thread.is_quiet = False


def _is_wanted(record: logging.LogRecord) -> bool:
    return not getattr(_thread, "is_quiet", False) or logger.isEnabledFor(logging.DEBUG)


for _name in (http_logger.name, "azure.identity._internal.get_token_mixin", "azure.identity._internal.decorators"):
    logging.getLogger(_name).addFilter(_is_wanted)
