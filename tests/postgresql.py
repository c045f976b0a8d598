"""Azure Database for PostgreSQL, played by Debian's PostgreSQL: TLS, and access tokens for passwords.

Azure's server checks the token itself. This one asks an LDAP server whether a password is right (its authentication
method ``ldap``, a simple bind), and that LDAP server checks the token as Azure does. PAM cannot do it: pam_exec passes
on no more than 511 characters of a password (``PAM_MAX_RESP_SIZE``,
https://github.com/linux-pam/linux-pam/blob/master/modules/pam_exec/pam_exec.c), and an access token is longer.
"""

import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from dev._debian import POSTGRESQL, install
from tests.access_tokens import DatabaseRoles, SignIn
from tests.executors.programs import running

# It refuses to run as root; Debian's package brings this user.
_USER = "postgres" if os.geteuid() == 0 else None

_RULES = """\
local   all all trust
hostssl all all 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={port} ldapprefix="role=" ldapsuffix=""
"""


class AccessTokens:
    """The LDAP server that says whether a password is an access token for a role. It serves inside ``with``.

    :ivar roles: who may sign in, and who did.
    """

    def __init__(self, azure: OfflineAzure) -> None:
        self.roles = DatabaseRoles(azure)
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                server._answer(self.rfile, self.wfile)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> "AccessTokens":
        threading.Thread(target=self._server.serve_forever, name="LDAP server", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer one bind request: https://www.rfc-editor.org/rfc/rfc4511#section-4.2."""
        message = _parts(_element(requests)[1])
        (_, name), (_, password) = _parts(message[1][1])[1:]
        sign_in = self.roles.sign_in(name.decode().removeprefix("role="), password.decode())
        code = b"\x31" if sign_in.refused else b"\x00"  # invalidCredentials or success
        text = (sign_in.refused or "").encode()
        result = _encoded(0x0A, code) + _encoded(0x04, b"") + _encoded(0x04, text)
        answers.write(_encoded(0x30, _encoded(*message[0]) + _encoded(0x61, result)))


class PostgresqlServer:
    """A PostgreSQL with TLS, which is asked by ``psql`` as its administrator.

    :ivar port: of 127.0.0.1, and of localhost.
    :ivar roles: who may sign in, and who did.
    """

    def __init__(self, programs: Path, directory: Path, port: int, roles: DatabaseRoles) -> None:
        self._programs = programs
        self._directory = directory
        self.port = port
        self.roles = roles

    @property
    def sign_ins(self) -> list[SignIn]:
        """All attempts to sign in so far."""
        return self.roles.sign_ins

    def create_role(self, role: str, identity: ManagedIdentity, database: str) -> None:
        """Create a role for an identity, as ``pgaadauth_create_principal`` does, and a database that it owns.

        A role of this name that other tests have left goes first, with its databases.
        """
        self.roles.create(role, identity)
        owners = "pg_database JOIN pg_roles ON datdba = pg_roles.oid"
        left = self.run(f"SELECT datname FROM {owners} WHERE rolname = '{role}'").split()
        self.run(
            *(f'DROP DATABASE "{each}" WITH (FORCE)' for each in left),
            f'DROP ROLE IF EXISTS "{role}"',
            f'CREATE ROLE "{role}" LOGIN',
            f'CREATE DATABASE "{database}" OWNER "{role}"',
        )

    def url(self, role: str, database: str, **options: str) -> str:
        """Return the address of a database as SQLAlchemy takes it; TLS is required unless an option says otherwise."""
        query = "&".join(f"{name}={value}" for name, value in ({"sslmode": "require"} | options).items())
        return f"postgresql+psycopg2://{role}@localhost:{self.port}/{database}?{query}"

    @property
    def administrator_url(self) -> str:
        """The address of a database for its administrator, who needs no token."""
        return f"postgresql+psycopg2://admin@/postgres?host={self._directory}&port={self.port}"

    def of_airflow(self, azure: OfflineAzure, role: str, database: str) -> dict[str, str]:
        """Return the environment of an Airflow whose database this is, and which signs in as the identity of Azure."""
        return azure.environment() | {
            "AZURE_CLIENT_ID": azure.identity.client_id,
            "AZURE_TENANT_ID": azure.identity.tenant_id,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.url(role, database),
            "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DATABASE_SIGN_IN": "True",
        }

    def run(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the administrator, and return what they found, without a heading."""
        command = [str(self._programs / "psql"), "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]
        command += ["--set=ON_ERROR_STOP=1", "-h", str(self._directory), "-U", "admin", "-d", database]
        command += ["-p", str(self.port), *(f"--command={statement}" for statement in statements)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


@contextmanager
def postgresql_server(azure: OfflineAzure, *hosts: str) -> Iterator[PostgresqlServer]:
    """Run a new PostgreSQL, which Debian's package brings.

    :param hosts: the names that its certificate is for, besides localhost and 127.0.0.1.
    """
    install(POSTGRESQL)
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    with ExitStack() as running_parts:
        # The path of a socket has to be short, and all users have to reach it.
        directory = Path(running_parts.enter_context(tempfile.TemporaryDirectory(prefix="postgresql-")))
        directory.chmod(0o755)
        tokens = running_parts.enter_context(AccessTokens(azure))
        home = directory / "server"
        home.mkdir()
        _give(home)
        data = home / "data"
        initdb = [str(programs / "initdb"), "--auth=trust", "--username=admin", "--encoding=UTF8", "--no-sync", data]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=_USER, group=_USER, cwd=home)
        (data / "pg_hba.conf").write_text(_RULES.format(port=tokens.port))
        certificate = azure._certificates.issue("postgresql", "localhost", "127.0.0.1", *hosts)
        for file, name in ((certificate.certificate_file, "server.crt"), (certificate.key_file, "server.key")):
            shutil.copy(file, data / name)
            _give(data / name)
            (data / name).chmod(0o600)
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": home,
            "ssl": "on",
            "fsync": "off",
            "max_connections": 200,
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        program = running_parts.enter_context(
            running(
                "PostgreSQL",
                [str(programs / "postgres"), "-D", str(data), *options],
                directory / "log",
                user=_USER,
                stop_signal=signal.SIGINT,
            )
        )
        isready = [str(programs / "pg_isready"), "--quiet", "--host", str(home), "--port", str(port)]
        program.wait_until(lambda: subprocess.run(isready, check=False).returncode == 0)
        yield PostgresqlServer(programs, home, port, tokens.roles)


def _give(path: Path) -> None:
    if _USER:
        shutil.chown(path, _USER, _USER)


def _version(programs: Path) -> int:
    return int(re.sub(r"\D", "", programs.parent.name))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _element(stream: Any) -> tuple[int, bytes]:
    """Read one element of BER: its tag and its content."""
    tag, length = stream.read(2)
    if length & 0x80:
        length = int.from_bytes(stream.read(length & 0x7F), "big")
    return tag, stream.read(length)


def _parts(content: bytes) -> list[tuple[int, bytes]]:
    import io

    stream = io.BytesIO(content)
    parts = []
    while stream.tell() < len(content):
        parts.append(_element(stream))
    return parts


def _encoded(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content
