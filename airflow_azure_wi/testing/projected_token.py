"""A stand-in for the kubelet: projects a federated token into a directory, and rotates it."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from airflow_azure_wi.testing.private_files import make_private_directory, write_private

FILE_NAME = "azure-identity-token"


class ProjectedToken:
    """A federated token in a projected volume.

    Tokens are replaced as Kubernetes' AtomicWriter does it: write a new directory next to the old one, then swap them
    by renaming one symbolic link over another. A reader never sees a missing or half-written file.

    :param directory: the mount point (mode 0700).
    :param sign: returns a new federated token each time it is called.
    :ivar path: the file that the workload reads.
    """

    def __init__(self, directory: Path, sign: Callable[[], str]) -> None:
        self._directory = make_private_directory(directory)
        self._sign = sign
        self._lock = threading.Lock()
        self.path = directory / FILE_NAME
        self.rotate()

    def rotate(self) -> None:
        """Replace the token with a newly signed one."""
        token = self._sign()
        with self._lock:
            # The kubelet removes the directory that it has just replaced. A reader that has followed the link but not
            # yet opened the file would then miss it. Here the old directory stays until the next rotation.
            outdated = set(self._directory.glob("..2*")) - {self._current()}
            self._project(token)
            for directory in outdated:
                shutil.rmtree(directory)

    @contextmanager
    def rotate_every(self, seconds: float) -> Iterator[None]:
        """Rotate the token in a thread every ``seconds``, while the ``with`` statement runs.

        :raises Exception: at the end of ``with``, the error that a rotation raised.
        """
        stop = threading.Event()
        failures: list[Exception] = []

        def run() -> None:
            try:
                while not stop.wait(seconds):
                    self.rotate()
            except Exception as error:  # noqa: BLE001 - raised at the end of with
                failures.append(error)

        thread = threading.Thread(target=run, name="rotate the projected token", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failures:
            raise failures[0]

    def _current(self) -> Path | None:
        data = self._directory / "..data"
        return self._directory / os.readlink(data) if data.is_symlink() else None

    def _project(self, token: str) -> None:
        now = datetime.now(timezone.utc)
        version = make_private_directory(self._directory / f"..{now:%Y_%m_%d_%H_%M_%S.%f}{os.urandom(4).hex()}")
        write_private(version / FILE_NAME, token.encode())
        new_link = self._directory / "..data_tmp"
        new_link.unlink(missing_ok=True)
        new_link.symlink_to(version.name)
        new_link.rename(self._directory / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to(Path("..data") / FILE_NAME)
