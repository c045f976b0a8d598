"""Azure Database for MySQL, played by Debian's MariaDB: TLS, and access tokens for passwords.

Azure's server checks the token itself. This one asks PAM whether a password is right, by its plugin ``pam``, for which
clients send the password in clear text (``mysql_clear_password``), as they do for Azure. PAM asks a program
(``pam_script``, which has no limit of length, unlike ``pam_exec``), and that asks here, where the token is checked as
Azure does. PAM's own settings and MariaDB's plugin take root.
"""

import json
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from dev._debian import LIBPAM_SCRIPT, MARIADB, install
from tests.access_tokens import DatabaseRoles
from tests.executors.programs import running

# Asks the test whether a password is right, and ends with 0 if it is.
_CHECK = """\
#!{python} -IS
import json, os, socket, sys

with socket.create_connection(("127.0.0.1", {port})) as test:
    test.sendall(json.dumps([os.environ["PAM_USER"], os.environ["PAM_AUTHTOK"]]).encode() + b"\\n")
    sys.exit(0 if test.recv(1) == b"1" else 1)
"""
_USER = "mysql"

# Long passwords, protocol 4.1, transactions, secure connections, plugins of authentication, which may be long; not TLS.
_BITS = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x80000 | 0x200000
_CAPABILITIES = (
    struct.pack("<HBHHB", _BITS & 0xFFFF, 0x2D, 2, _BITS >> 16, 21)
    + bytes(10)
    + b"123456789012\0mysql_native_password\0"
)


class MySqlServer:
    """A MariaDB with TLS, which is asked by ``mariadb`` as its administrator.

    :ivar port: of 127.0.0.1, and of localhost.
    :ivar roles: who may sign in, and who did.
    """

    def __init__(self, socket_file: Path, port: int, service: str, roles: DatabaseRoles) -> None:
        self._socket = socket_file
        self._service = service
        self.port = port
        self.roles = roles

    def create_user(self, name: str, identity: ManagedIdentity, database: str) -> None:
        """Create a user for an identity, as ``CREATE AADUSER`` does, and a database that it owns."""
        self.roles.create(name, identity)
        self.run(
            f"CREATE USER '{name}' IDENTIFIED VIA pam USING '{self._service}'",
            f"CREATE DATABASE {database}",
            f"GRANT ALL ON {database}.* TO '{name}'",
        )

    def run(self, *statements: str) -> str:
        """Run statements as the administrator, and return what they found, without a heading."""
        command = ["mariadb", "--no-defaults", "--user=root", f"--socket={self._socket}", "--skip-column-names"]
        command.append(f"--execute={'; '.join(statements)}")
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def mysql_server(azure: OfflineAzure) -> Iterator[MySqlServer]:
    """Run a new MariaDB, which Debian's package brings."""
    install(MARIADB, LIBPAM_SCRIPT)
    if os.geteuid() != 0:
        pytest.fail("MariaDB asks PAM about a password, and PAM's settings take root: run this test as root.")
    with ExitStack() as running_parts:
        # The path of a socket has to be short, and MariaDB's user has to reach it.
        directory = Path(running_parts.enter_context(tempfile.TemporaryDirectory(prefix="mysql-")))
        shutil.chown(directory, _USER)
        roles = DatabaseRoles(azure)
        service = running_parts.enter_context(_pam_service(directory, running_parts.enter_context(_asked(roles))))
        data = directory / "data"
        make = ["mariadb-install-db", "--no-defaults", f"--user={_USER}", f"--datadir={data}", "--skip-test-db"]
        make.append("--auth-root-authentication-method=normal")
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        certificate = azure._certificates.issue("mysql", "localhost", "127.0.0.1")
        for file, name in ((certificate.certificate_file, "server.crt"), (certificate.key_file, "server.key")):
            shutil.copy(file, directory / name)
            shutil.chown(directory / name, _USER)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        settings = {
            "user": _USER,
            "datadir": data,
            "socket": directory / "socket",
            "bind-address": "127.0.0.1",
            "port": port,
            "ssl-cert": directory / "server.crt",
            "ssl-key": directory / "server.key",
            "require-secure-transport": "ON",
            "plugin-load-add": "auth_pam.so",
            "pam-use-cleartext-plugin": "ON",
            "innodb-flush-log-at-trx-commit": 0,
        }
        command = ["mariadbd", "--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]
        program = running_parts.enter_context(running("MariaDB", command, directory / "log"))
        program.wait_until((directory / "socket").exists)
        yield MySqlServer(directory / "socket", port, service, roles)


@contextmanager
def server_without_tls() -> Iterator[tuple[int, list[bytes]]]:
    """Run what an attacker would: a server that offers no TLS and asks for the password in clear text.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html

    :returns: its port, and all that it receives.
    """
    received: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._send(0, b"\x0a8.0.40\0" + struct.pack("<I", 1) + b"12345678\0" + _CAPABILITIES)
            self._receive()
            self._send(2, b"\xfemysql_clear_password\0")
            self._receive()

        def _receive(self) -> None:
            received.append(self.rfile.read(int.from_bytes(self.rfile.read(4)[:3], "little")))

        def _send(self, number: int, packet: bytes) -> None:
            self.wfile.write(len(packet).to_bytes(3, "little") + bytes([number]) + packet)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, name="MySQL without TLS", daemon=True).start()
        yield server.server_address[1], received
        server.shutdown()


@contextmanager
def _asked(roles: DatabaseRoles) -> Iterator[int]:
    """Answer what the program of PAM asks; yield the port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            name, password = json.loads(self.rfile.readline())
            self.wfile.write(b"0" if roles.sign_in(name, password).refused else b"1")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, name="PAM", daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def _pam_service(directory: Path, port: int) -> Iterator[str]:
    """Let PAM check passwords by a program; yield the name of the service."""
    programs = directory / "pam"
    programs.mkdir()
    check = programs / "pam_script_auth"
    check.write_text(_CHECK.format(python=sys.executable, port=port))
    check.chmod(0o755)
    service = Path("/etc/pam.d") / f"airflow-azure-wi-{port}"
    try:
        service.write_text(f"auth required pam_script.so dir={programs}\naccount required pam_permit.so\n")
        yield service.name
    finally:
        service.unlink()
