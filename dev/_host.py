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
from pathlib import Path

# Debian 12, and where it comes from unless the machine says otherwise.
RELEASE = "bookworm"
_DEBIAN = dict.fromkeys((RELEASE, f"{RELEASE}-updates"), "http://deb.debian.org/debian")
_DEBIAN[f"{RELEASE}-security"] = "http://deb.debian.org/debian-security"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
_CERTIFICATE_VARIABLES = [
    *("CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
]
_PROXY_VARIABLE = re.compile(r"(?i)(http|https|ftp|all|no)_proxy")
_PIP_SETTINGS = ("cert", "client-cert", "default-timeout", "index-url", "extra-index-url", "proxy", "trusted-host")
_NPM_SETTING = re.compile(r"(registry|cafile|(https-|no)?proxy|strict-ssl|//.*|@.*:registry) *=")
_APT_SETTING = re.compile(r"Acquire::https?::.*\S;")


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
    listed = _printed("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages")
    found = dict(line.split() for line in listed.splitlines())
    return _DEBIAN | {suite: uri.rstrip("/") for suite, uri in found.items() if suite in _DEBIAN}


def apt_settings() -> str:
    """Return apt's settings for proxies and certificates."""
    dump = _printed("apt-config", "dump")
    return "".join(f"{line}\n" for line in dump.splitlines() if _APT_SETTING.fullmatch(line))


def _pip_variables() -> dict[str, str]:
    """Ask pip itself; of several values for a setting, the last is the one that it uses."""
    settings = {}
    for line in _printed(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in _PIP_SETTINGS:
            settings[f"PIP_{setting.upper().replace('-', '_')}"] = str(ast.literal_eval(value))
    # A folder of this machine is none of the system's.
    return {name: value for name, value in settings.items() if "file:" not in value}


def _printed(*command: str) -> str:
    """Return what a program prints; nothing, if this machine does not have it."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
