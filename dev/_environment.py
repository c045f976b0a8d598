"""Makes the virtual environments that the scripts in this folder run in.

Standard library only: it runs on a machine that has Python and git and nothing else. It installs uv, at a
pinned version, into an environment of its own, and uv does the rest from the pins in `dev/pins`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 - says so, instead of failing in an import
    sys.exit(f"This needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}.")

import _pythons
from _airflows import MAIN, ROOT, TOOLS_PINS, Target

UV_VERSION = "0.13.9"
_VENVS = ROOT / ".venvs"
_STAMP = "airflow-azure-wi.stamp"
_UV_HOME = _VENVS / f"uv-{UV_VERSION}"


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds this package (editable), one Airflow and the tests' packages."""

    path: Path
    python: Path
    target: Target
    groups: tuple[str, ...] = ("test",)

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.path / "bin"

    def program(self, name: str) -> str:
        """One of its programs, such as `python` or `pytest`."""
        return str(self.bin / name)

    def make(self) -> None:
        """Make it, unless it is there as it should be."""
        with _lock():
            fingerprint = _fingerprint(self.target.pins)
            if not (_is_made_from(fingerprint, self.path) and self._works()):
                _remake(self.path, self.python, f"Airflow {self.target.airflow}", self._packages(), fingerprint)

    def _packages(self) -> list[str | Path]:
        groups = [argument for group in self.groups for argument in ("--group", group)]
        package = ["--editable", ".[testing]", *groups]
        return ["--constraints", self.target.pins, *package, *self.target.requirements]

    def _works(self) -> bool:
        """Its Python may have been upgraded or removed since, or the checkout moved."""
        probe = "import importlib.util as it; print(it.find_spec('airflow_azure_wi').origin)"
        command = [self.program("python"), "-I", "-c", probe]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return False
        return answer.returncode == 0 and Path(answer.stdout.strip()).is_relative_to(ROOT)


def main_environment() -> Environment:
    """`.venv`: the newest Airflow, with the linters and what builds the site and releases. Made when this returns."""
    groups = ("test", "parse", "recipes", "lint", "docs", "release")
    environment = Environment(ROOT / ".venv", _pythons.preferred(), MAIN, groups=groups)
    environment.make()
    return environment


def compat_environment(target: Target, python: Path, cell: str) -> Environment:
    """`.venvs/airflow-<cell>`. Made when this returns."""
    environment = Environment(_VENVS / f"airflow-{cell}", python, target, target.groups)
    environment.make()
    return environment


def stock_environment(target: Target, python: Path) -> Environment:
    """`.venvs/stock-<target>`, for the stock provider's own tests. Made when this returns."""
    environment = Environment(_VENVS / f"stock-{target.name}", python, target, groups=("test", "stock-test"))
    environment.make()
    return environment


def bare_environment(name: str, target: Target, python: Path, packages: tuple[str, ...]) -> Environment:
    """`.venvs/<name>`, recreated with some packages at their pinned versions, and not this one."""
    environment = Environment(_VENVS / name, python, target)
    with _lock():
        uv("venv", "--clear", "--quiet", "--python", python, environment.path)
        uv("pip", "install", "--python", environment.path, "--constraints", target.pins, *packages)
    return environment


def executors_environment() -> Environment:
    """`.venvs/executors`: the newest Airflow with what more than one worker needs. Made when this returns."""
    environment = Environment(_VENVS / "executors", _pythons.preferred(), MAIN, groups=("test", "executors"))
    environment.make()
    return environment


def tools_environment() -> Path:
    """`.venvs/tools`: what the group `tools` names, without this package and Airflow. Made when this returns."""
    path, fingerprint = _VENVS / "tools", _fingerprint(TOOLS_PINS)
    with _lock():
        if not _is_made_from(fingerprint, path):
            packages: list[str | Path] = ["--constraints", TOOLS_PINS, "--group", "tools"]
            _remake(path, _pythons.preferred(), "the Azure CLI and others", packages, fingerprint)
    return path


def _fingerprint(pins: Path) -> str:
    """What an environment is made from: anything that would make it another one today."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    # The settings of ruff, mypy and pytest change nothing that is installed.
    tables = [
        table
        for table in project.split("\n[")
        if not table.lstrip("[").startswith(("tool.ruff", "tool.mypy", "tool.pytest"))
    ]
    inputs = [*tables, pins.read_text(encoding="utf-8"), Path(__file__).read_text(encoding="utf-8")]
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()


def _is_made_from(fingerprint: str, path: Path) -> bool:
    try:
        return (path / _STAMP).read_text(encoding="utf-8") == fingerprint
    except OSError:
        return False


def _remake(path: Path, python: Path, what: str, packages: list[str | Path], fingerprint: str) -> None:
    name, started = path.relative_to(ROOT), time.monotonic()
    say(f"Making {name}: {what}, Python from {python}")
    uv("venv", "--clear", "--quiet", "--python", python, path)
    uv("pip", "install", "--python", path, *packages)
    # Last, so that an environment that was never finished has none.
    (path / _STAMP).write_text(fingerprint, encoding="utf-8")
    say(f"Made {name} in {time.monotonic() - started:.0f} s")


def pip(*arguments: str) -> None:
    """Run pip in the checkout, for what uv does not do: downloading."""
    program = [str(_UV_HOME / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*program, *arguments], cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


def uv(*arguments: str | Path) -> None:
    """Run uv in the checkout; install it first if it is not there."""
    program = _UV_HOME / "bin" / "uv"
    if not program.exists():
        _install_uv()
    command = [str(program), *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, env=_uv_settings(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            # What it downloads shows that it goes on; the list of 200 packages at the end shows nothing.
            if not line.startswith((" + ", " Downloaded")):
                say(line.rstrip())
    if process.returncode != 0:
        raise SystemExit("uv failed (see above). If a pin contradicts pyproject.toml, run ./dev/pin.")


def _install_uv() -> None:
    say(f"Installing uv {UV_VERSION} into {_UV_HOME.relative_to(ROOT)}")
    python = _pythons.preferred()
    made = subprocess.run([python, "-m", "venv", "--clear", _UV_HOME], check=False)
    if made.returncode != 0:
        raise SystemExit(f"{python} makes no virtual environments. On Debian, apt-get install python3-venv helps.")
    pip = [str(_UV_HOME / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq"]
    done = subprocess.run([*pip, "install", f"uv=={UV_VERSION}"], stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pip could not install uv {UV_VERSION} (see above).")


def _uv_settings() -> dict[str, str]:
    settings = dict(os.environ)
    # An interpreter that uv fetched itself would test a Python that the machine does not have.
    settings["UV_PYTHON_DOWNLOADS"] = "never"
    # The first download of a wheel of 100 MB may be slow; uv gives up after 30 s by default.
    settings.setdefault("UV_HTTP_TIMEOUT", settings.get("PIP_DEFAULT_TIMEOUT", "180"))
    # uv does not read pip's configuration: hand on what a machine says of its mirror.
    if mirror := settings.get("PIP_INDEX_URL"):
        settings.setdefault("UV_DEFAULT_INDEX", mirror)
    if authorities := settings.get("PIP_CERT"):
        settings.setdefault("SSL_CERT_FILE", authorities)
    # An environment that happens to be active is not the one to install into.
    settings.pop("VIRTUAL_ENV", None)
    return settings


@contextmanager
def _lock() -> Iterator[None]:
    """Two scripts that make environments at the same time wait for each other."""
    _VENVS.mkdir(exist_ok=True)
    with (_VENVS / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(message: str) -> None:
    """Report progress, in order with what the programs that run meanwhile print."""
    print(message, file=sys.stderr, flush=True)
