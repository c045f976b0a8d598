"""An HTTPS server on loopback, in a thread of this process."""

import asyncio
import socket
import threading
import time
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_azure_wi.testing.certificates import ServerCertificate

_START_SECONDS = 10.0


class _AbortableProtocol(H11Protocol):
    """Lets the application abort a connection with ``request.state.abort()``, which ASGI cannot do.

    When the server stops, it also aborts connections that still wait for an answer.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}

    def shutdown(self) -> None:
        super().shutdown()
        self.transport.abort()


class HttpsServer:
    """Serves an application on a free port of 127.0.0.1.

    :param app: the ASGI application.
    :param certificate: the server certificate.
    :ivar url: ``https://127.0.0.1:<port>``, set before the server runs.
    :ivar port: the port.
    """

    def __init__(self, app: ASGIApp, certificate: ServerCertificate) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        # Accepted connections inherit this. Without it, each answer waits 40 ms for an acknowledgement, because asyncio
        # sets it only for sockets that were created with the protocol number of TCP.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            app,
            http=_AbortableProtocol,
            loop="asyncio",
            ws="auto",
            lifespan="off",
            ssl_certfile=certificate.certificate_file,
            ssl_keyfile=certificate.key_file,
            server_header=False,
            log_config=None,
            # A client that is still connected at the end is no error to show in a user's test output.
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=f"offline-azure {self.url}", daemon=True)

    def __enter__(self) -> "HttpsServer":
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"The server at {self.url} did not start within {_START_SECONDS:g} seconds.")
            time.sleep(0.002)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.stop()

    def show(self, certificate: ServerCertificate) -> None:
        """Show another certificate from the next connection on, as after a rotation."""
        if self._server.config.ssl is None:
            raise RuntimeError(f"The server at {self.url} does not run yet.")
        self._server.config.ssl.load_cert_chain(certificate.certificate_file, certificate.key_file)

    def stop(self) -> None:
        """Stop serving and free the port. You can call it twice."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_START_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
