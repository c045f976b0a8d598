"""Installs the Debian packages that the tests need and PyPI and npm do not bring. Standard library only."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LOCK = Path(__file__).resolve().parent.parent / ".venvs" / "apt.lock"


@dataclass(frozen=True)
class DebianPackage:
    """A package, and whether the machine has what it brings: from Debian or from anywhere else."""

    name: str
    is_there: Callable[[], bool]


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


CHROMIUM = DebianPackage("chromium", lambda: shutil.which("chromium") is not None)
DEBOOTSTRAP = DebianPackage("debootstrap", lambda: shutil.which("debootstrap") is not None)
# What mysqlclient is built with, and linked with.
GCC = DebianPackage("gcc", lambda: shutil.which("cc") is not None)
LIBMARIADB = DebianPackage("libmariadb-dev", lambda: shutil.which("mariadb_config") is not None)
PKG_CONFIG = DebianPackage("pkg-config", lambda: shutil.which("pkg-config") is not None)
PYTHON_HEADERS = DebianPackage("python3-dev", lambda: Path(sysconfig.get_path("include"), "Python.h").exists())
LIBSECRET = DebianPackage("libsecret-1-0", lambda: _has_library("libsecret-1.so.0"))
# The module of PAM that lets a program check a password.
LIBPAM_SCRIPT = DebianPackage("libpam-script", lambda: any(Path("/lib").glob("*/security/pam_script.so")))
# The server, and its plugin that asks PAM.
MARIADB = DebianPackage("mariadb-server", lambda: Path("/usr/lib/mysql/plugin/auth_pam.so").exists())
# Debian does not put the servers on PATH.
POSTGRESQL = DebianPackage("postgresql", lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb")))
REDIS = DebianPackage("redis-server", lambda: shutil.which("redis-server") is not None)
SHELLCHECK = DebianPackage("shellcheck", lambda: shutil.which("shellcheck") is not None)
# What pyodbc is linked with.
UNIXODBC = DebianPackage("libodbc2", lambda: _has_library("libodbc.so.2"))


def install(*packages: DebianPackage) -> None:
    """Install those whose programs or libraries the machine lacks, with apt-get.

    :raises SystemExit: names the packages, if apt-get or root is missing or apt-get fails.
    """
    with _lock():
        missing = [package for package in packages if not package.is_there()]
        if not missing:
            return
        names = [package.name for package in missing]
        command = f"apt-get install {' '.join(names)}"
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            raise SystemExit(f"Missing on this machine: {', '.join(names)}. On Debian, run: sudo {command}")
        print(f"Installing {', '.join(names)}", file=sys.stderr, flush=True)
        if not _apt_get("update") or not _apt_get("install", "-y", "--no-install-recommends", *names):
            raise SystemExit(f"apt-get could not install {', '.join(names)} (see above).")
        if absent := [package.name for package in missing if not package.is_there()]:
            raise SystemExit(f"apt-get installed {', '.join(absent)}, without what is expected of it.")


def _apt_get(*arguments: str) -> bool:
    settings = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # What it prints goes where messages go: a script's own output may be read by another program.
    command = ["apt-get", "-qq", *arguments]
    done = subprocess.run(command, env=settings, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    return done.returncode == 0


@contextmanager
def _lock() -> Iterator[None]:
    """Two scripts that install at the same time wait for each other; apt-get would fail."""
    _LOCK.parent.mkdir(exist_ok=True)
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
