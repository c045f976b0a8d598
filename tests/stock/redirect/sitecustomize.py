"""On PYTHONPATH: lets every Python process find Azure's hosts at a recorder on loopback.

Python imports it at the start of each process, before Airflow or a task is there.
"""

import os
import socket

HOSTS = os.environ["RECORDER_HOSTS"].split(",")
PORT = int(os.environ["RECORDER_PORT"])

_look_up = socket.getaddrinfo
_connect = socket.socket.connect


def _on_loopback(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    return _look_up("127.0.0.1" if name in HOSTS else host, *args, **kwargs)


def _at_the_recorder(self, address):
    return _connect(self, ("127.0.0.1", PORT) if address == ("127.0.0.1", 443) else address)


socket.getaddrinfo = _on_loopback
socket.socket.connect = _at_the_recorder
