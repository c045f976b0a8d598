"""Finds the Python interpreters of this machine. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from _airflows import Version

SUPPORTED: tuple[Version, ...] = ((3, 10), (3, 11), (3, 12), (3, 13))
# The interpreter behind this one, should it belong to an environment that is about to be recreated.
_THIS = Path(getattr(sys, "_base_executable", sys.executable))
_TELL_VERSION = "import sys; print(*sys.version_info[:2])"


def preferred() -> Path:
    """The Python that runs this script if the package supports it, else the newest one that is supported."""
    if sys.version_info[:2] in SUPPORTED:
        return _THIS
    found = available()
    if not found:
        wanted = f"{_text(SUPPORTED[0])} to {_text(SUPPORTED[-1])}"
        raise SystemExit(f"This machine has no Python {wanted}: install one (apt-get, pyenv, ...).")
    return found[max(found)]


@cache
def available() -> dict[Version, Path]:
    """One working interpreter for each supported version that the machine has."""
    return {version: path for version in SUPPORTED if (path := _find(version)) is not None}


def _find(version: Version) -> Path | None:
    if sys.version_info[:2] == version:
        return _THIS
    return next((path for path in _candidates(version) if _works(path, version)), None)


def _candidates(version: Version) -> Iterator[Path]:
    name = f"python{_text(version)}"
    if on_path := shutil.which(name):
        yield Path(on_path)
    # pyenv's versions that are not active are of no use on PATH: their shims answer "command not found".
    for root in _pyenv_roots():
        yield from sorted(root.glob(f"versions/{_text(version)}.*/bin/{name}"), reverse=True)


def _pyenv_roots() -> list[Path]:
    roots = [Path(os.environ["PYENV_ROOT"])] if os.environ.get("PYENV_ROOT") else []
    if pyenv := shutil.which("pyenv"):
        roots.append(Path(pyenv).resolve().parent.parent)
    roots.append(Path(os.path.expanduser("~/.pyenv")))
    return roots


def _works(path: Path, version: Version) -> bool:
    """Ask it: what lies on PATH may be a shim that leads nowhere."""
    try:
        answer = subprocess.run([path, "-c", _TELL_VERSION], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.split() == [str(part) for part in version]


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
