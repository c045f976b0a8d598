"""Starts nox, with uv beside it, at the versions in dev/pins/nox.txt. Standard library only.

It runs on a machine that has Python and git and nothing else. What nox then does is in noxfile.py.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

if sys.version_info < (3, 10):  # noqa: UP036 - says so, instead of failing in an import
    sys.exit(f"This needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}.")

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
_PINS = ROOT / "dev" / "pins" / "nox.txt"
_HOME = ROOT / ".venvs" / "nox"
# A person's own Airflow, Azure sign-in or Python path must neither break a test nor make it pass. Images of containers
# forbid Python to keep what it has compiled: each start of Airflow then takes twice as long.
_PERSONAL = ("AIRFLOW_", "AZURE_", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")


def impersonal() -> dict[str, str]:
    """The environment, without what belongs to the person who runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_PERSONAL)}


def run_nox(*arguments: str) -> NoReturn:
    """Replace this process by nox."""
    command = _command(*arguments)
    os.execv(command[0], command)


def run_in_venv(script: str, *arguments: str) -> NoReturn:
    """Have nox make `.venv` if need be, and replace this process by a script of this folder that runs in it.

    The script may import `tests`.
    """
    done = subprocess.run(_command("--session", "dev"), check=False)
    if done.returncode:
        sys.exit(done.returncode)
    command = [PYTHON, str(ROOT / "dev" / script), *arguments]
    os.execve(PYTHON, command, impersonal() | {"PYTHONPATH": str(ROOT)})


def _command(*arguments: str) -> list[str]:
    _HOME.parent.mkdir(exist_ok=True)
    stamp = _HOME / "pins.txt"
    # Two scripts that start at the same time wait for each other.
    with (_HOME.parent / "nox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_bytes() == _PINS.read_bytes() and _works()):
            _install()
            stamp.write_bytes(_PINS.read_bytes())
    return [str(_HOME / "bin" / "python"), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *arguments]


def _works() -> bool:
    """Its Python may have been removed since."""
    return (_HOME / "bin" / "python").exists()


def _install() -> None:
    print("Installing nox and uv into .venvs/nox", file=sys.stderr, flush=True)
    # The interpreter behind this one, should it belong to an environment that is about to be made again.
    python = getattr(sys, "_base_executable", sys.executable)
    if subprocess.run([python, "-m", "venv", "--clear", _HOME], check=False).returncode:
        sys.exit(f"{python} makes no virtual environments. On Debian, apt-get install python3-venv helps.")
    pip = [str(_HOME / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    if subprocess.run([*pip, "--requirement", str(_PINS)], stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit("pip could not install nox and uv (see above).")
