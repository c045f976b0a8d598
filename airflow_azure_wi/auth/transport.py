"""How token requests are sent: through one pool of connections, with an end to how long and how large an answer may be.

It is requests' own transport, with the proxies and certificate authorities of the environment, as every Azure SDK
client uses it. What it adds: at most 64 KiB of an answer are read, and reading ends at a deadline however slowly the
server sends. The timeouts of requests are for a single read.
"""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from azure.core.pipeline.transport import RequestsTransport
from requests import utils
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

# A token response is some kilobytes long.
LONGEST_ANSWER = 64 * 1024
_CHUNK = 4096

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
