"""What of this machine's configuration decides how apt, pip and npm reach their registries. Standard library only.

Nothing else of the machine is handed on to the system that dev/fresh makes.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Debian 12, and where it comes from unless the machine says otherwise.
RELEASE = "bookworm"
_DEBIAN = {
    RELEASE: "http://deb.debian.org/debian",
    f"{RELEASE}-updates": "http://deb.debian.org/debian",
    f"{RELEASE}-security": "http://deb.debian.org/debian-security",
}
CERTIFICATES = Path("/usr/local/share/ca-certificates")
_CERTIFICATE_VARIABLES = (
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_PROXY_VARIABLE = re.compile(r"(?i)(http|https|ftp|all|no)_proxy")
_PIP_SETTINGS = ("cert", "client-cert", "default-timeout", "index-url", "extra-index-url", "proxy", "trusted-host")
_NPM_SETTING = re.compile(r"(registry|cafile|(https-|no)?proxy|strict-ssl|//.*|@.*:registry) *=")
_APT_SETTING = re.compile(r"Acquire::https?::.*\S;")
_ONE_LINE_SOURCE = re.compile(r"deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)\s")


def variables() -> dict[str, str]:
    """Return the environment variables that say how to reach the network, and pip's settings as such."""
    found = {name: value for name, value in os.environ.items() if _PROXY_VARIABLE.fullmatch(name)}
    found |= {name: os.environ[name] for name in _CERTIFICATE_VARIABLES if os.environ.get(name)}
    return found | _pip_variables()


def certificate_files() -> list[Path]:
    """Return the bundles that some of the variables and npm's settings name."""
    found = variables()
    named = [found[name] for name in _CERTIFICATE_VARIABLES if name in found]
    named += re.findall(r"(?m)^cafile *= *\"?([^\"\n]+)", npm_settings())
    return sorted({path for path in map(Path, named) if path.is_file()})


def npm_settings() -> str:
    """Return the lines of a user's and a machine's .npmrc that say how to reach the registry."""
    named = [os.environ.get("NPM_CONFIG_GLOBALCONFIG"), os.environ.get("NPM_CONFIG_USERCONFIG")]
    files = [Path("/etc/npmrc"), Path("~/.npmrc").expanduser(), *(Path(name) for name in named if name)]
    lines = [line for file in files if file.is_file() for line in file.read_text(encoding="utf-8").splitlines()]
    return "".join(f"{line}\n" for line in lines if _NPM_SETTING.match(line))


def apt_sources() -> dict[str, str]:
    """Return where each suite of Debian 12 comes from."""
    return _DEBIAN | {suite: uri.rstrip("/") for uri, suite in _sources() if suite in _DEBIAN}


def apt_settings() -> str:
    """Return apt's settings for proxies and certificates."""
    if shutil.which("apt-config") is None:
        return ""
    printed = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in printed.splitlines() if _APT_SETTING.fullmatch(line))


def _pip_variables() -> dict[str, str]:
    """Ask pip itself; of several values for a setting, the last is the one that it uses."""
    printed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings = {}
    for line in printed.splitlines():
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in _PIP_SETTINGS:
            settings[f"PIP_{setting.upper().replace('-', '_')}"] = str(ast.literal_eval(value))
    # A folder of this machine is none of the system's.
    return {name: value for name, value in settings.items() if "file:" not in value}


def _sources() -> Iterator[tuple[str, str]]:
    """Yield address and suite of what apt reads, in either of its formats."""
    folder = Path("/etc/apt/sources.list.d")
    for file in [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]:
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                if found := _ONE_LINE_SOURCE.match(f"{line.strip()} "):
                    yield found[1], found[2]
    for file in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            fields = dict(re.findall(r"(?m)^(\w+): *(.*\S)", stanza))
            if fields.get("Enabled", "yes").lower() != "no" and "deb" in fields.get("Types", "").split():
                yield from ((uri, suite) for uri in fields["URIs"].split()[:1] for suite in fields["Suites"].split())
