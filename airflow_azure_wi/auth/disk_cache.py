"""Access tokens that the processes of one machine share: msal-extensions' file, and one exchange at a time.

Airflow runs each task in a process of its own, which starts without any token. Whatever is wrong with the folder or
the file, tasks go on with tokens in memory, and one warning says so.
"""

import fcntl
import hashlib
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msal
from msal_extensions import FilePersistence, PersistedTokenCache

from airflow_azure_wi.auth.token_cache import TokenRequest

logger = logging.getLogger(__name__)

# Longer than an exchange with all its attempts takes; whoever waits longer makes its own.
LOCK_TIMEOUT_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.02


class DiskCache:
    """The access tokens of one identity at one authority, in a folder.

    :param folder: the folder; it is made, and closed to everyone but the user of this process.
    :param name: what tells this identity and authority from others.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._file = folder / hashlib.sha256(name.encode()).hexdigest()[:32]
        self._is_usable = self._prepare()

    def token_caches(self) -> dict[str, msal.TokenCache]:
        """Return the arguments ``cache`` and ``cae_cache`` for azure-identity; none where the folder is unusable.

        azure-identity keeps tokens for continuous access evaluation apart, and so does its own persistent cache.
        """
        if not self._is_usable:
            return {}
        return {"cache": _token_cache(f"{self._file}.nocae"), "cae_cache": _token_cache(f"{self._file}.cae")}

    @contextmanager
    def exclusively(self, request: TokenRequest) -> Iterator[None]:
        """Hold the right to exchange tokens for a request, if need be after a while; others then find the token.

        A process that dies leaves no lock behind: the kernel takes it away.
        """
        lock = self._open_lock(request) if self._is_usable else None
        if lock is None:
            yield
            return
        try:
            _wait_for(lock)
            yield
        finally:
            os.close(lock)

    def _prepare(self) -> bool:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.stat()
            if found.st_uid != os.geteuid():
                raise PermissionError(f"it belongs to the user {found.st_uid}, expected {os.geteuid()}")
            if stat.S_IMODE(found.st_mode) != 0o700:
                self._folder.chmod(0o700)
            if not os.access(self._folder, os.W_OK):
                raise PermissionError("it is read-only")
        except OSError as error:
            _warn(self._folder, error)
            return False
        return True

    def _open_lock(self, request: TokenRequest) -> int | None:
        name = hashlib.sha256(repr(request).encode()).hexdigest()[:16]
        try:
            return os.open(f"{self._file}.{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _warn(self._folder, error)
            self._is_usable = False
            return None


class _ForgivingTokenCache(PersistedTokenCache):  # type: ignore[misc] # msal-extensions has no types
    """msal-extensions' token cache, which goes on in memory where its file fails."""

    _is_on_disk = True

    def search(self, credential_type: str, **kwargs: Any) -> Any:
        if self._is_on_disk:
            try:
                # A list, because the file is read while it is iterated over.
                return list(super().search(credential_type, **kwargs))
            except Exception as error:  # noqa: BLE001 - whatever it is, a task must not fail of it
                self._leave_disk(error)
        return list(msal.SerializableTokenCache.search(self, credential_type, **kwargs))

    def modify(self, credential_type: str, old_entry: Any, new_key_value_pairs: Any = None) -> None:
        if self._is_on_disk:
            try:
                super().modify(credential_type, old_entry, new_key_value_pairs)
                return
            except Exception as error:  # noqa: BLE001 - as above
                self._leave_disk(error)
        msal.SerializableTokenCache.modify(self, credential_type, old_entry, new_key_value_pairs)

    def _leave_disk(self, error: Exception) -> None:
        self._is_on_disk = False
        location = Path(self._persistence.get_location())
        _warn(location.parent, error)
        try:
            # Half-written or corrupted: the next process starts with a new one.
            location.unlink(missing_ok=True)
        except OSError:
            logger.debug("The token cache %s cannot be removed", location, exc_info=True)


def _token_cache(location: str) -> msal.TokenCache:
    # Not azure-identity's TokenCachePersistenceOptions: their file is always in the home directory.
    return _ForgivingTokenCache(FilePersistence(location))


def _wait_for(lock: int) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return
    logger.warning("Another process has been exchanging tokens for %.0f s; not waiting for it", LOCK_TIMEOUT_SECONDS)


_warned: set[Path] = set()


def _warn(folder: Path, error: Exception) -> None:
    """Say once a process and folder that tokens are not shared."""
    if folder in _warned:
        return
    _warned.add(folder)
    logger.warning(
        "The folder %s ([azure_workload_identity] token_cache_folder) cannot be used for access tokens: %s. They are "
        "kept in memory instead, and each process makes its own exchanges. Expected a folder that the user of this "
        "process owns and may write to.",
        folder,
        error,
    )
