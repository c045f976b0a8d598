"""PostgreSQL and Redis from Debian's packages, new ones for the tests, on sockets that are files: no port is open."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.executors.programs import running

# It refuses to run as root; Debian's package brings this user.
_POSTGRES_USER = "postgres" if os.geteuid() == 0 else None


@contextmanager
def postgres(directory: Path, log: Path) -> Iterator[str]:
    """Run PostgreSQL with an empty database; yield what comes after ``postgresql`` in its address.

    :param directory: an empty one, which all users may reach the parent of.
    """
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    if _POSTGRES_USER:
        shutil.chown(directory, _POSTGRES_USER, _POSTGRES_USER)
    data = directory / "data"
    initdb = [str(programs / "initdb"), "--auth=trust", "--username=airflow", "--encoding=UTF8", "--no-sync", str(data)]
    subprocess.run(
        initdb, check=True, stdout=subprocess.DEVNULL, user=_POSTGRES_USER, group=_POSTGRES_USER, cwd=directory
    )
    settings = {"listen_addresses": "", "unix_socket_directories": str(directory), "fsync": "off"}
    options = [f"-c{name}={value}" for name, value in settings.items()]
    # SIGINT ends it without waiting for its clients to leave.
    with running(
        "PostgreSQL",
        [str(programs / "postgres"), "-D", str(data), *options],
        log,
        user=_POSTGRES_USER,
        stop_signal=signal.SIGINT,
    ) as program:
        isready = [str(programs / "pg_isready"), "--quiet", "--host", str(directory)]
        program.wait_until(lambda: subprocess.run(isready, check=False).returncode == 0)
        yield f"://airflow@/postgres?host={directory}"


def _version(programs: Path) -> int:
    return int(re.sub(r"\D", "", programs.parent.name))


@contextmanager
def redis(directory: Path, log: Path) -> Iterator[str]:
    """Run Redis, which keeps nothing; yield its address."""
    socket = directory / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--save", "", "--appendonly", "no"]
    with running("Redis", ["redis-server", *options], log) as program:
        program.wait_until(socket.exists)
        yield f"redis+socket://{socket}"
