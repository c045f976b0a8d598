"""azcopy for Linux on x86-64, from Microsoft's npm package: installed once, in the cache that Azurite is in."""

import subprocess
import tempfile
from pathlib import Path

import platformdirs

from airflow_azure_wi.testing.node import npm_command
from dev._debian import LIBSECRET, install

PACKAGE = "@azure-tools/azcopy-linux"
VERSION = "10.32.2"

# The package is a binary and the path to it: no script of it needs to run.
_NPM_OPTIONS = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]


def installed_azcopy() -> Path:
    """Return the program, after installing it and the library that it does not start without.

    :raises SystemExit: names the Debian package, if it is missing and cannot be installed.
    """
    install(LIBSECRET)
    folder = platformdirs.user_cache_path("airflow-azure-wi", ensure_exists=True)
    program = folder / f"azcopy-{VERSION}" / "azcopy"
    if not program.exists():
        # Renamed when it is complete, so that an interrupted installation leaves nothing that looks installed.
        with tempfile.TemporaryDirectory(prefix="azcopy-", dir=folder) as staging:
            npm = [*npm_command(), "install", f"{PACKAGE}@{VERSION}", "--prefix", staging, *_NPM_OPTIONS]
            subprocess.run(npm, stdin=subprocess.DEVNULL, timeout=250, check=True)
            [found] = Path(staging).rglob("azcopy_linux_amd64")
            found.chmod(0o700)
            complete = Path(staging) / "azcopy"
            complete.mkdir()
            found.rename(complete / "azcopy")
            complete.rename(program.parent)
    return program
