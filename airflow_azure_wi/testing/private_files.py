"""Files and directories that only their owner may read: keys and tokens."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a new file, or replace an existing one, with mode 0600.

    :raises OSError: if it cannot be written.
    """
    path.unlink(missing_ok=True)  # an existing file would keep its mode
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def make_private_directory(path: Path) -> Path:
    """Create a directory with mode 0700, and its parents if needed, and return it.

    An existing directory keeps its mode: someone else chose it.

    :raises OSError: if it cannot be created.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
