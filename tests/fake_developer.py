"""An ``az`` and an ``azd`` for tests, as far as azure-identity asks them for access tokens of a signed-in developer.

Their tokens are signed by nobody: Azurite looks at all but the signature.
"""

import json
import os
import stat
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt

_SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.fake_developer import main
sys.exit(main({directory!r}, {program!r}, sys.argv[1:]))
"""
_LIFETIME_SECONDS = 3600
# Where the developer is signed in, unless a command names another.
_HOME_TENANT = "99999999-8888-7777-6666-555555555555"


class FakeDeveloper:
    """Who works at this machine.

    :param directory: where the executables are written; put it first on the PATH.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        root = str(Path(__file__).parent.parent)
        for program in ("az", "azd"):
            script = directory / program
            script.write_text(
                _SCRIPT.format(python=sys.executable, root=root, directory=str(directory), program=program)
            )
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.sign_out()
        (directory / "calls.json").write_text("[]")

    def path(self) -> str:
        """Return a PATH on which they come first."""
        return f"{self._directory}{os.pathsep}{os.environ['PATH']}"

    def sign_in(self, account: str) -> None:
        """Do what ``az login`` and ``azd auth login`` do."""
        (self._directory / "account.json").write_text(json.dumps(account))

    def sign_out(self) -> None:
        """Do what ``az logout`` does."""
        (self._directory / "account.json").write_text("null")

    @property
    def calls(self) -> list[list[str]]:
        """Program and arguments of each call, in order."""
        calls: list[list[str]] = json.loads((self._directory / "calls.json").read_text())
        return calls


def main(directory_name: str, program: str, arguments: list[str]) -> int:
    """Do what az or azd would."""
    directory = Path(directory_name)
    calls = json.loads((directory / "calls.json").read_text())
    (directory / "calls.json").write_text(json.dumps([*calls, [program, *arguments]]))
    account = json.loads((directory / "account.json").read_text())
    if account is None:
        hint = {
            "az": "Please run 'az login' to setup account.",
            "azd": "not logged in, run `azd auth login` to login",
        }
        print(f"ERROR: {hint[program]}", file=sys.stderr)
        return 1
    print(json.dumps(_az(account, arguments) if program == "az" else _azd(account, arguments)))
    return 0


def _az(account: str, arguments: list[str]) -> dict[str, Any]:
    assert arguments[:4] == ["account", "get-access-token", "--output", "json"]
    resource, tenant = _options(arguments[4:], "--resource", "--tenant")
    token, expires_on = _access_token(account, resource, tenant)
    return {"accessToken": token, "expires_on": expires_on, "tenant": tenant, "tokenType": "Bearer"}


def _azd(account: str, arguments: list[str]) -> dict[str, Any]:
    assert arguments[:5] == ["auth", "token", "--output", "json", "--no-prompt"]
    scope, tenant = _options(arguments[5:], "--scope", "--tenant-id")
    token, expires_on = _access_token(account, scope.removesuffix("/.default"), tenant)
    # As azure-identity reads it: local time, whatever the letter at its end says.
    return {"token": token, "expiresOn": f"{datetime.fromtimestamp(expires_on):%Y-%m-%dT%H:%M:%SZ}"}


def _options(arguments: list[str], *names: str) -> list[str]:
    given = {names[1]: _HOME_TENANT} | dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert set(given) == set(names)
    return [given[name] for name in names]


def _access_token(account: str, resource: str, tenant: str) -> tuple[str, int]:
    now = int(time.time())
    claims = {
        "aud": resource,
        "iss": f"https://sts.windows.net/{tenant}/",
        "iat": now,
        "nbf": now,
        "exp": now + _LIFETIME_SECONDS,
        # The application id of the Azure CLI itself.
        "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        "oid": "11111111-2222-3333-4444-555555555555",
        "tid": tenant,
        "upn": account,
        "ver": "1.0",
    }
    return jwt.encode(claims, "a key of sufficient length for HS256"), now + _LIFETIME_SECONDS
