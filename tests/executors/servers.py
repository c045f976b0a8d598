"""Redis from Debian's package, a new one for the tests, on a socket that is a file: no port is open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.executors.programs import running


@contextmanager
def redis(directory: Path, log: Path) -> Iterator[str]:
    """Run Redis, which keeps nothing; yield its address."""
    socket = directory / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--save", "", "--appendonly", "no"]
    with running("Redis", ["redis-server", *options], log) as program:
        program.wait_until(socket.exists)
        yield f"redis+socket://{socket}"
