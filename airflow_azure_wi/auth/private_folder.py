"""A folder that only the user of this process can read, write or replace, and files in it.

Everything is opened relative to a descriptor that was checked, and no link is followed on the way that somebody else
could have planted: what was checked is what is used.
"""

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_azure_wi.redaction import quoted

LONGEST_FILE = 64 * 1024
# The end of the name of a file that is being written.
TEMPORARY = ".new"

_MOST_LINKS = 40
_ROOT = 0
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_ANYTHING = stat.S_IRWXG | stat.S_IRWXO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A folder on the way need not be readable, as /home often is not. Where there is no O_PATH, it has to be.
_ON_THE_WAY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# O_NONBLOCK: opening a FIFO would wait for somebody at its other end.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a folder, made with mode 0700 if it is missing, and so is each one above it.

    :param path: its absolute path.
    :raises OSError: if it cannot be opened, or somebody else may change it, or rename it or a folder above it.
    """
    folder = _descend(path)
    try:
        _make_private(folder)
        yield folder
    finally:
        os.close(folder)


def open_file(folder: int, name: str, flags: int) -> io.FileIO:
    """Open a file in a folder.

    :param flags: as for ``os.open``. A file that is made has mode 0600, whatever the umask.
    :raises OSError: if it cannot be opened, or is anything but a regular file of this user alone.
    """
    mode = "r+" if flags & os.O_RDWR else "w" if flags & os.O_WRONLY else "r"
    file = io.FileIO(name, mode, opener=lambda name, _: os.open(name, flags | _FILE, 0o600, dir_fd=folder))
    try:
        _check(name, os.fstat(file.fileno()))
        if flags & os.O_CREAT:
            os.fchmod(file.fileno(), 0o600)
    except BaseException:
        file.close()
        raise
    return file


def read(folder: int, name: str) -> bytes | None:
    """Return what a file holds, None if there is none, or it is longer than this package writes.

    :raises OSError: if it cannot be read, or is anything but a regular file of this user alone.
    """
    try:
        with open_file(folder, name, os.O_RDONLY) as file:
            content = file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        return None
    return content if len(content) <= LONGEST_FILE else None


def write(folder: int, name: str, content: bytes, *, modified: float | None = None) -> None:
    """Write a file whole or not at all, in place of what has its name.

    :param modified: what is stored as the time of its modification, in seconds since the epoch.
    :raises OSError: if that fails; nothing is left behind then.
    """
    temporary = f"{name}.{secrets.token_hex(8)}{TEMPORARY}"
    try:
        with open_file(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            if modified is not None:
                os.utime(file.fileno(), (modified, modified))
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove(folder, temporary)
        raise


def remove(folder: int, name: str) -> None:
    """Remove a file if it is there and can be removed."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _descend(path: Path) -> int:
    """Open a folder by way of folders in which only root and this user can rename anything."""
    folder = os.open("/", _ON_THE_WAY)
    left = list(reversed(path.parts[1:]))
    links = 0
    try:
        while left:
            _check_parent(folder)
            name = left.pop()
            target = _target_of_link(folder, name) if left else None
            if target is None:
                folder = _replaced(folder, _enter(folder, name, _ON_THE_WAY if left else _FOLDER))
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
            if target.is_absolute():
                folder = _replaced(folder, os.open("/", _ON_THE_WAY))
            left.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    except BaseException:
        os.close(folder)
        raise
    return folder


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _enter(parent: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
            # Only a umask that takes from the owner too makes this necessary. Nobody else can have replaced it.
            os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, flags, dir_fd=parent)
    except NotADirectoryError:
        raise _refused(f"{quoted(name)} is not a folder, or a link to one") from None


def _target_of_link(parent: int, name: str) -> Path | None:
    try:
        found = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid not in {_ROOT, os.geteuid()}:
        raise _refused(f"the link {quoted(name)} above it belongs to the user {found.st_uid}")
    return Path(os.readlink(name, dir_fd=parent))


def _check_parent(parent: int) -> None:
    found = os.fstat(parent)
    if found.st_uid not in {_ROOT, os.geteuid()}:
        raise _refused(f"a folder above it{_name_of(parent)} belongs to the user {found.st_uid}, who can replace it")
    # In a folder with the sticky bit, as /tmp and /dev/shm are, only its owner and root can rename what is in it.
    if found.st_mode & _OTHERS_MAY_WRITE and not found.st_mode & stat.S_ISVTX:
        raise _refused(
            f"a folder above it{_name_of(parent)} has mode {stat.S_IMODE(found.st_mode):04o}, so others can replace it"
        )


def _name_of(descriptor: int) -> str:
    try:
        return f", {quoted(os.readlink(f'/proc/self/fd/{descriptor}'))},"
    except OSError:
        return ""


def _make_private(folder: int) -> None:
    found = os.fstat(folder)
    if found.st_uid != os.geteuid():
        raise _refused(f"it belongs to the user {found.st_uid}, expected {os.geteuid()}")
    if not found.st_mode & _OTHERS_MAY_ANYTHING:
        return
    # Others may have put files into it, or replaced some. Each file is checked when it is opened, too, so what they put
    # there between the first look and the change of the mode gets no token.
    could_write = found.st_mode & _OTHERS_MAY_WRITE
    if could_write and os.listdir(folder):
        raise _refused(
            f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o}) and it is not empty; remove it, and it "
            "is created again"
        )
    os.fchmod(folder, 0o700)
    if could_write and os.listdir(folder):
        raise _refused("others have just written to it; remove it, and it is created again")


def _check(name: str, found: os.stat_result) -> None:
    problem = (
        "is not a regular file"
        if not stat.S_ISREG(found.st_mode)
        else f"belongs to the user {found.st_uid}"
        if found.st_uid != os.geteuid()
        else f"has mode {stat.S_IMODE(found.st_mode):04o}, expected 0600"
        if found.st_mode & _OTHERS_MAY_ANYTHING
        else f"has {found.st_nlink} names"
        if found.st_nlink > 1
        else None
    )
    if problem:
        raise _refused(f"{quoted(name)} in it {problem}; remove it")


def _refused(reason: str) -> PermissionError:
    return PermissionError(errno.EPERM, reason)
