"""A stand-in for Service Bus: queues over AMQP, for clients that put an access token first.

They reach it in a WebSocket, through the proxy of the offline Azure, or directly at AMQP's own port.

It speaks AMQP with the codec of the SDK, which works both ways, and understands only what one sender and one
receiver say.
"""

import asyncio
import socketserver
import ssl
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from uuid import uuid4

import jwt
from azure.servicebus._pyamqp import performatives as amqp
from azure.servicebus._pyamqp._decode import decode_frame, decode_payload
from azure.servicebus._pyamqp._encode import encode_frame, encode_payload
from azure.servicebus._pyamqp.endpoints import Source, Target
from azure.servicebus._pyamqp.message import Message, Properties
from azure.servicebus._pyamqp.outcomes import Accepted
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from airflow_azure_wi.testing import OfflineAzure
from airflow_azure_wi.testing.certificates import ServerCertificate

_AMQP, _SASL = b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00"
_AMQP_FRAME, _SASL_FRAME = b"\x00", b"\x01"
_WINDOW = 65535
_TOKENS = "$cbs"


@dataclass
class ServiceBus:
    """What a namespace saw.

    :ivar tokens: the claims of the access tokens that were put, by what they were put for.
    :ivar queues: the encoded messages that nobody received yet, by the name of the queue.
    :ivar outcomes: what became of the messages that were received.
    """

    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    queues: dict[str, deque[bytes]] = field(default_factory=lambda: defaultdict(deque))
    outcomes: list[str] = field(default_factory=list)

    def serve(self, azure: OfflineAzure, namespace: str) -> None:
        azure.serve(Starlette(routes=[WebSocketRoute("/$servicebus/websocket", self._connected)]), namespace)

    @contextmanager
    def listening(self, address: str, certificate: ServerCertificate) -> Iterator[None]:
        """Serve at an address of this machine, and there at the only port that clients connect to without a proxy."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.certificate_file, certificate.key_file)

        class Client(socketserver.BaseRequestHandler):
            def handle(handler) -> None:
                with context.wrap_socket(handler.request, server_side=True) as stream, suppress(ConnectionError):
                    asyncio.run(_Connection(self, _Stream(stream)).converse())

        with socketserver.ThreadingTCPServer((address, 5671), Client) as server:
            server.daemon_threads = True
            Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()

    async def _connected(self, socket: WebSocket) -> None:
        await socket.accept("AMQPWSB10")
        try:
            await _Connection(self, socket).converse()
        except WebSocketDisconnect:
            return


class _Stream:
    """A connection without a WebSocket, in a thread of its own."""

    def __init__(self, stream: ssl.SSLSocket) -> None:
        self._stream = stream

    async def receive_bytes(self) -> bytes:
        if data := self._stream.recv(_WINDOW):
            return data
        raise ConnectionError("the client has gone")

    async def send_bytes(self, data: bytes) -> None:
        self._stream.sendall(data)


class _Connection:
    """One client. Its links are known by the handles that it chose."""

    def __init__(self, bus: ServiceBus, socket: WebSocket | _Stream) -> None:
        self._bus = bus
        self._socket = socket
        self._buffer, self._channel = b"", bytes(2)
        self._senders: dict[int, str] = {}
        self._receivers: dict[int, str] = {}
        self._credit: dict[int, int] = {}
        self._deliveries = 0
        self._answers = {
            amqp.SASLInit: self._let_in,
            amqp.OpenFrame: self._open,
            amqp.BeginFrame: self._begin,
            amqp.AttachFrame: self._attach,
            amqp.FlowFrame: self._flow,
            amqp.TransferFrame: self._take,
            amqp.DispositionFrame: self._settle,
            amqp.DetachFrame: self._detach,
            amqp.EndFrame: self._repeat,
            amqp.CloseFrame: self._repeat,
        }

    async def converse(self) -> None:
        kinds = {kind._code: kind for kind in self._answers}
        while True:
            head = await self._read(8)
            if head in (_AMQP, _SASL):
                await self._agree_on(head)
            elif body := await self._read(int.from_bytes(head[:4], "big") - 8):
                # The channel is a session's; a client has one.
                self._channel = head[6:]
                code, fields = decode_frame(memoryview(body))
                await self._answers[kinds[code]](kinds[code](*fields))

    async def _agree_on(self, protocol: bytes) -> None:
        await self._socket.send_bytes(protocol)
        if protocol == _SASL:
            await self._send(amqp.SASLMechanism([b"MSSBCBS", b"ANONYMOUS"]), _SASL_FRAME)

    async def _let_in(self, _: Any) -> None:
        """Who it is, the client says later: with an access token."""
        await self._send(amqp.SASLOutcome(0, None), _SASL_FRAME)

    async def _open(self, frame: Any) -> None:
        await self._send(
            frame._replace(container_id="stand-in", hostname=None, properties=None, desired_capabilities=None)
        )

    async def _begin(self, frame: Any) -> None:
        await self._send(frame._replace(remote_channel=int.from_bytes(self._channel, "big")))

    async def _attach(self, frame: Any) -> None:
        links, end = (self._receivers, frame.source) if frame.role else (self._senders, frame.target)
        node = end[0].decode().rpartition("/")[2]
        links[frame.handle] = node
        mirrored = frame._replace(
            role=not frame.role, source=Source(node), target=Target(node), initial_delivery_count=0, properties=None
        )
        await self._send(mirrored._replace(unsettled=None, desired_capabilities=None))
        if not frame.role:
            await self._send(_flow(handle=frame.handle, link_credit=100))

    async def _flow(self, frame: Any) -> None:
        if frame.handle in self._receivers:
            self._credit[frame.handle] = frame.link_credit
            await self._deliver()

    async def _take(self, frame: Any) -> None:
        await self._send(amqp.DispositionFrame(True, frame.delivery_id, frame.delivery_id, True, Accepted(), False))
        node = self._senders[frame.handle]
        if node == _TOKENS:
            await self._take_token(decode_payload(frame.payload))
        else:
            self._bus.queues[node].append(bytes(frame.payload))
            await self._deliver()

    async def _take_token(self, request: Any) -> None:
        about = request.application_properties
        claims = jwt.decode(request.value, options={"verify_signature": False})
        self._bus.tokens[about[b"name"].decode()] = claims
        response = Message(
            properties=Properties(correlation_id=request.properties.message_id),
            application_properties={"status-code": 202, "status-description": "Accepted"},
        )
        [handle] = [handle for handle, node in self._receivers.items() if node == _TOKENS]
        await self._transfer(handle, encode_payload(bytearray(), response), settled=True)

    async def _deliver(self) -> None:
        for handle, node in self._receivers.items():
            while self._credit.get(handle) and self._bus.queues[node]:
                self._credit[handle] -= 1
                await self._transfer(handle, self._bus.queues[node].popleft(), settled=False)

    async def _transfer(self, handle: int, payload: bytes, *, settled: bool) -> None:
        # The tag is what Service Bus calls a lock token.
        tag, self._deliveries = uuid4().bytes, self._deliveries + 1
        await self._send(amqp.TransferFrame(handle, self._deliveries, tag, 0, settled, False, payload=payload))

    async def _settle(self, frame: Any) -> None:
        self._bus.outcomes.append(*frame.state)
        await self._send(amqp.DispositionFrame(False, frame.first, frame.last, True, Accepted(), False))

    async def _detach(self, frame: Any) -> None:
        await self._send(amqp.DetachFrame(frame.handle, True, None))

    async def _repeat(self, frame: Any) -> None:
        await self._send(frame)

    async def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._buffer += await self._socket.receive_bytes()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    async def _send(self, frame: Any, kind: bytes = _AMQP_FRAME) -> None:
        head, body = encode_frame(frame, kind)
        await self._socket.send_bytes(head + self._channel + bytes(body or b""))


def _flow(*, handle: int, link_credit: int) -> Any:
    nothing = dict.fromkeys(amqp.FlowFrame._fields)
    counts = {"incoming_window": _WINDOW, "outgoing_window": _WINDOW, "next_incoming_id": 0, "next_outgoing_id": 0}
    return amqp.FlowFrame(**nothing | counts | {"handle": handle, "delivery_count": 0, "link_credit": link_credit})
