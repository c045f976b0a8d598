"""An HTTPS proxy on loopback that leads Azure's real host names to the offline Azure."""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

_START_SECONDS = 10.0
_CHUNK = 64 * 1024


class Proxy:
    """Answers ``CONNECT``: forwards known hosts to ports of 127.0.0.1, and refuses every other host.

    The traffic stays encrypted: the client verifies the certificate of the server at that port. Use it in a ``with``
    statement.

    :ivar url: ``http://127.0.0.1:<port>``, the value for ``HTTPS_PROXY``; set once it runs.
    """

    url: str

    def __init__(self) -> None:
        self._ports: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="offline-azure proxy", daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise RuntimeError(f"The proxy of the offline Azure did not start within {_START_SECONDS:g} seconds.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_START_SECONDS)

    def lead(self, host: str, port: int | None) -> int | None:
        """Forward a host to a port of 127.0.0.1 from now on, or refuse it, and return the port before.

        :param host: a name. ``*`` as the first label means every name in a domain that has no port itself.
        :param port: the port, or None to refuse the host.
        """
        before = self._ports.get(host.lower())
        if port is None:
            self._ports.pop(host.lower(), None)
        else:
            self._ports[host.lower()] = port
        return before

    def _port_of(self, host: str) -> int | None:
        return self._ports.get(host) or self._ports.get(f"*.{host.partition('.')[2]}")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._end.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            # A client may disconnect at any moment.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._answer(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.decode("latin-1").partition(" ")
        host, _, port_asked_for = rest.partition(" ")[0].rpartition(":")
        port = self._port_of(host.lower())
        if method != "CONNECT" or port is None or port_asked_for != "443":
            writer.write(_refusal(rest.partition(" ")[0], sorted(self._ports)))
            await writer.drain()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        self._open.add(upstream_writer)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
        finally:
            self._open.discard(upstream_writer)
            upstream_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()


def _refusal(asked_for: str, hosts: list[str]) -> bytes:
    body = f"The offline Azure has no {asked_for[:200]}. It has {', '.join(hosts) or 'no host yet'}, at port 443.\n"
    # Most clients show only the reason phrase.
    head = f"HTTP/1.1 403 Not in the offline Azure\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()
