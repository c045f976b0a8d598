"""What receives Airflow's metrics: a StatsD listener, and an OTLP receiver over HTTP."""

import gzip
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OURS = "azure_workload_identity."


class StatsdListener:
    """A UDP socket that keeps each line that it is sent."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []

    def variables(self) -> dict[str, str]:
        """Return what makes an Airflow send to it."""
        port = str(self._socket.getsockname()[1])
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": port,
        }

    def ours(self, prefix: str = "airflow") -> list[str]:
        """Return what arrived of this package with a prefix, with N in place of each time."""
        ours = (line for line in self._lines if line.startswith(f"{prefix}.{OURS}"))
        return sorted(re.sub(r":[\d.]+\|ms", ":N|ms", line) for line in ours)

    def listen(self) -> None:
        while line := self._socket.recv(65536):
            self._lines += line.decode().splitlines()

    def stop(self) -> None:
        """Stop once everything that was sent has been read."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._socket.getsockname())


@contextmanager
def statsd_listener() -> Iterator[StatsdListener]:
    """Listen within a ``with`` block; what arrived is complete after it."""
    listener = StatsdListener()
    thread = threading.Thread(target=listener.listen, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.stop()
        thread.join(10)


class OtlpReceiver(ThreadingHTTPServer):
    """Keeps each data point that it is sent, with its attributes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.points: dict[tuple[str, frozenset[tuple[str, str]]], Any] = {}

    def variables(self) -> dict[str, str]:
        """Return what makes an Airflow send to it."""
        return {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "AIRFLOW__METRICS__OTEL_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__OTEL_PORT": str(self.server_port),
            # Airflow 2.11 and 3.0 send nothing at the end of a process: MeterProvider(shutdown_on_exit=False).
            "AIRFLOW__METRICS__OTEL_INTERVAL_MILLISECONDS": "100",
        }

    def ours(self) -> dict[str, set[frozenset[tuple[str, str]]]]:
        """Return the names of this package's metrics, with the sets of attributes that each was sent with."""
        found: dict[str, set[frozenset[tuple[str, str]]]] = {}
        for name, attributes in self.points:
            if name.startswith(f"airflow.{OURS}"):
                found.setdefault(name, set()).add(attributes)
        return found


class _Handler(BaseHTTPRequestHandler):
    server: OtlpReceiver

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    attributes = frozenset((pair.key, pair.value.string_value) for pair in point.attributes)
                    self.server.points[metric.name, attributes] = point
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write nothing."""


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Receive within a ``with`` block."""
    with OtlpReceiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
