"""A stand-in for PostgreSQL Flexible Server: TLS, a token as the password, and one query that it knows."""

import socketserver
import ssl
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO

import jwt

from airflow_azure_wi.testing.certificates import ServerCertificate

_SSL_REQUEST = 80877103
_TEXT = 25
_SETTINGS = ("client_encoding=UTF8", "DateStyle=ISO, MDY", "standard_conforming_strings=on", "server_version=17.0")


@dataclass(frozen=True)
class SignIn:
    """Who signed in to which database, with a token of which claims, and the host that its client meant."""

    user: str
    database: str
    claims: dict[str, Any]
    host: str | None


class PostgresqlServer:
    """Lets everybody in who has a token, and answers ``SELECT current_user``. It serves inside ``with``.

    https://www.postgresql.org/docs/current/protocol-message-formats.html

    :ivar sign_ins: who signed in so far.
    :ivar port: of 127.0.0.1.
    """

    def __init__(self, certificate: ServerCertificate) -> None:
        self.sign_ins: list[SignIn] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self._context.sni_callback = _remember_name
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server._handle(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> "PostgresqlServer":
        threading.Thread(target=self._server.serve_forever, name="stand-in for PostgreSQL", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, plain: Any) -> None:
        asked_for = struct.unpack("!II", plain.recv(8, 8))[1]
        assert asked_for == _SSL_REQUEST, "the client sends nothing before TLS"
        plain.sendall(b"S")
        with self._context.wrap_socket(plain, server_side=True) as encrypted:
            stream = encrypted.makefile("rwb")
            user = self._sign_in(stream, getattr(encrypted.context, "name_asked_for", None))
            _answer_queries(stream, user)

    def _sign_in(self, stream: Any, server_name: str | None) -> str:
        (length,) = struct.unpack("!I", stream.read(4))
        words = stream.read(length - 4)[4:].rstrip(b"\0").decode().split("\0")
        asked_for = dict(zip(words[::2], words[1::2], strict=True))
        _send(stream, b"R", struct.pack("!I", 3))  # AuthenticationCleartextPassword
        kind, password = _receive(stream)
        assert kind == b"p"
        claims = jwt.decode(password.rstrip(b"\0"), options={"verify_signature": False})
        self.sign_ins.append(SignIn(asked_for["user"], asked_for["database"], claims, server_name))
        _send(stream, b"R", struct.pack("!I", 0))  # AuthenticationOk
        for setting in _SETTINGS:
            _send(stream, b"S", setting.replace("=", "\0").encode() + b"\0")
        _send(stream, b"Z", b"I")
        return asked_for["user"]


def _answer_queries(stream: Any, user: str) -> None:
    status = b"I"
    while (message := _receive(stream)) != (b"X", b""):  # Terminate
        sql = message[1].rstrip(b"\0").decode()
        assert message[0] == b"Q"
        if sql == "SELECT current_user":
            _send(stream, b"T", struct.pack("!H13sIHIHIH", 1, b"current_user\0", 0, 0, _TEXT, 0xFFFF, 0xFFFFFFFF, 0))
            _send(stream, b"D", struct.pack(f"!HI{len(user)}s", 1, len(user), user.encode()))
            _send(stream, b"C", b"SELECT 1\0")
        else:
            status = {"BEGIN": b"T", "COMMIT": b"I"}[sql]
            _send(stream, b"C", sql.encode() + b"\0")
        _send(stream, b"Z", status)


def _receive(stream: BinaryIO) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!cI", stream.read(5))
    return kind, stream.read(length - 4)


def _send(stream: BinaryIO, kind: bytes, body: bytes) -> None:
    stream.write(struct.pack("!cI", kind, len(body) + 4) + body)
    stream.flush()


def _remember_name(encrypted: Any, name: str | None, context: Any) -> None:
    context.name_asked_for = name
