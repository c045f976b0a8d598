"""Access tokens that the processes of one machine share: a file for each token, and one exchange at a time.

Airflow runs each task in a process of its own, which starts without any token. Whatever is wrong with the folder or
a file in it, tasks go on with tokens in memory, and one warning says so.

Not msal-extensions: it follows links, leaves its lock file behind on a full disk, and cannot share failures.
"""

import fcntl
import hashlib
import io
import json
import logging
import os
import random
import re
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from azure.core.credentials import AccessTokenInfo

from airflow_azure_wi.auth import private_folder
from airflow_azure_wi.auth.token_cache import TokenRequest
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import excerpt, holds_secret, quoted

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIELDS = ("token", "expires_on", "refresh_on", "token_type")

_POLL_SECONDS = 0.02
# Access tokens of managed identities are of 2 to 4 KiB.
_ROOM_FOR_A_TOKEN = bytes(16 * 1024)
_LONGEST_FAILURE = 16 * 1024

_OUR_FILES = re.compile(r"[0-9a-f]{32}\.(token|lock|probe)(\.[0-9a-f]{16}\.new)?")
_LOOKED_AT_FOR_REMOVAL = 50
_UNUSED_AFTER_SECONDS = 24 * 60 * 60


class DiskCache:
    """The access tokens of one identity at one authority, in a folder.

    :param folder: the folder; it is made, and closed to everyone but the user of this process.
    :param name: everything that tells the tokens of this identity from others: ids, authority, token file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def get(self, request: TokenRequest) -> AccessTokenInfo | None:
        """Return a valid token, which may be due for renewal, or None. No token is ever kept for a claims challenge."""
        key = self._key(request)
        content = self._in_folder(lambda folder: private_folder.read(folder, f"{key}.token"))
        return _token_in(content, key) if content is not None else None

    def put(self, request: TokenRequest, token: AccessTokenInfo) -> None:
        """Keep a token for the other processes, in place of the previous one."""
        key = self._key(request.without_claims())
        content = json.dumps({"key": key} | {name: getattr(token, name) for name in _FIELDS}).encode()

        def write(folder: int) -> None:
            private_folder.write(folder, f"{key}.token", content, modified=token.expires_on)
            _remove_some_that_are_unused(folder)

        if len(content) <= private_folder.LONGEST_FILE:
            self._in_folder(write)

    @contextmanager
    def exclusively(self, request: TokenRequest, *, seconds: float) -> Iterator["Turn"]:
        """Hold the right to exchange tokens for a request, as soon as no other process has it; others find the token.

        A process that dies leaves no lock behind: the kernel takes it away.

        :param seconds: how long to wait for another process; whoever has waited longer goes on without the right.
        """
        turn = Turn(self._folder, self._key(request))
        me = (self._folder, self._key(request), threading.get_ident())
        if me in _inside:
            # A signal handler in the thread that is in here already: it would wait for itself.
            yield turn
            return
        try:
            _inside.add(me)
            _unless_given_up(self._folder, lambda: turn.wait(seconds))
            if self._folder in _given_up:
                # Now, so that nobody waits for an exchange whose token they would not get.
                turn.end()
            yield turn
        finally:
            _inside.discard(me)
            turn.end()

    def _key(self, request: TokenRequest) -> str:
        parts = [self._name, request.scopes, request.claims, request.enable_cae]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _in_folder(self, action: Callable[[int], T]) -> T | None:
        def act() -> T:
            with private_folder.opened(self._folder) as folder:
                return action(folder)

        return _unless_given_up(self._folder, act)


class Turn:
    """The right to exchange tokens, or the failure of the process that had it before.

    It is the lock of a file, in which the one that holds it writes how its exchange failed.

    :ivar failure: the error message of the process that this one waited for, None if it has not failed.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._name = f"{key}.lock"
        self._opened = ExitStack()
        self._folder = -1
        self._file: io.FileIO | None = None
        self._is_held = False
        self.failure: str | None = None

    def wait(self, seconds: float) -> None:
        """Wait until the lock is held, or waiting is of no use.

        :raises OSError: if the folder or the lock cannot be used.
        """
        self._folder = self._opened.enter_context(private_folder.opened(self._path))
        file = private_folder.open_file(self._folder, self._name, os.O_RDWR | os.O_CREAT)
        self._file = self._opened.enter_context(file)
        _open_turns.add(self)
        number_before, _ = _last_failure(file)
        deadline = time.monotonic() + seconds
        has_waited = False
        while True:
            self._try_to_lock(file)
            number, text = _last_failure(file)
            has_waited = has_waited or not self._is_held
            if has_waited and text is not None and number != number_before:
                self.failure = text
                return self._unlock()
            if os.fstat(file.fileno()).st_nlink == 0:
                # Its holder's disk failed, or it was not used for a day: this process finds out by itself.
                return self._unlock()
            if self._is_held:
                return self._make_sure_of_room()
            if time.monotonic() >= deadline:
                logger.warning("Another process has been exchanging tokens for %.0f s; not waiting for it", seconds)
                return None
            time.sleep(_POLL_SECONDS)

    def failed(self, text: str) -> None:
        """Tell those who wait now that the exchange failed; whoever asks later tries again.

        :param text: an error message of this package.
        """
        shown = excerpt(text) if holds_secret(text) else text
        content = json.dumps({"number": secrets.token_hex(8), "failure": shown[:_LONGEST_FAILURE]}).encode()

        def write() -> None:
            if self._is_held and self._file is not None:
                self._file.truncate(0)
                os.pwrite(self._file.fileno(), content, 0)

        _unless_given_up(self._path, write)

    def end(self) -> None:
        """Let the next one have the lock; remove it if the disk has failed, so that nobody waits for it."""
        if self._is_held and self._path in _given_up:
            private_folder.remove(self._folder, self._name)
        self._unlock()
        self._opened.close()

    def leave_to_parent(self) -> None:
        """Close the file on this side of a fork; the parent's lock stays."""
        self._is_held = False
        if self._file is not None:
            self._file.close()

    def _try_to_lock(self, file: io.FileIO) -> None:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._is_held = True

    def _unlock(self) -> None:
        if self._is_held and self._file is not None:
            # Closing alone would leave it to a process that was forked meanwhile.
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self._is_held = False

    def _make_sure_of_room(self) -> None:
        """Find out before the exchange, and not after it while others wait, that the disk is full."""
        name = f"{self._key}.probe"
        private_folder.write(self._folder, name, _ROOM_FOR_A_TOKEN)
        private_folder.remove(self._folder, name)


def _last_failure(lock: io.FileIO) -> tuple[str | None, str | None]:
    """Return what tells one failure from another, and the failure that is written in a lock."""
    found = _json_object(os.pread(lock.fileno(), private_folder.LONGEST_FILE, 0))
    number, text = found.get("number"), found.get("failure")
    return (number, text) if isinstance(number, str) and isinstance(text, str) else (None, None)


def _token_in(content: bytes, key: str) -> AccessTokenInfo | None:
    """Return the token that a file holds, unless it is expired, another's, or no token at all."""
    found = _json_object(content)
    token, expires_on, refresh_on, token_type = (found.get(name) for name in _FIELDS)
    if found.get("key") != key or not (isinstance(token, str) and token and isinstance(token_type, str)):
        return None
    if type(expires_on) is not int or type(refresh_on) not in {int, type(None)} or time.time() >= expires_on:
        return None
    return AccessTokenInfo(token, expires_on, token_type=token_type, refresh_on=refresh_on)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remove_some_that_are_unused(folder: int) -> None:
    names = [name for name in os.listdir(folder) if _OUR_FILES.fullmatch(name)]
    for name in random.sample(names, min(_LOOKED_AT_FOR_REMOVAL, len(names))):
        with suppress(OSError):
            # The file of a token has the token's end as its time.
            unused_for = time.time() - os.lstat(name, dir_fd=folder).st_mtime
            if unused_for > (0 if name.endswith(".token") else _UNUSED_AFTER_SECONDS):
                _remove_unless_locked(folder, name)


def _remove_unless_locked(folder: int, name: str) -> None:
    with private_folder.open_file(folder, name, os.O_RDWR) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        private_folder.remove(folder, name)


# By process: folders that have failed, who is in `exclusively`, and locks that are open.
_given_up: set[Path] = set()
_inside: set[tuple[Path, str, int]] = set()
_open_turns: "weakref.WeakSet[Turn]" = weakref.WeakSet()


def _unless_given_up(folder: Path, action: Callable[[], T]) -> T | None:
    """Do something in a folder; if that fails, return None, warn once, and leave the folder for good."""
    if folder in _given_up:
        return None
    try:
        return action()
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is None:
            # Not the disk's: what a signal handler raised, such as TimeoutError.
            raise
        found = excerpt(getattr(error, "strerror", None) or str(error))
    if folder not in _given_up:
        _given_up.add(folder)
        logger.warning(
            "The folder %s (%s) cannot be used for access tokens: %s. They are kept in memory instead, and each "
            "process makes its own exchanges. Expected a folder on a disk with room that only the user of this "
            "process may change, below folders that only root and that user may change.",
            quoted(str(folder), longest=200),
            option_name("token_cache_folder"),
            found,
        )
    return None


def _start_over_after_fork() -> None:
    _given_up.clear()
    _inside.clear()
    for turn in list(_open_turns):
        turn.leave_to_parent()


os.register_at_fork(after_in_child=_start_over_after_fork)
