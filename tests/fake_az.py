"""An ``az`` for tests: an executable that records how it was called and keeps federated identity credentials."""

import json
import os
import stat
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

# Lets it read all of its standard input, which may be the rest of a script.
READS_INPUT = "FAKE_AZ_READS_INPUT"

# Options without a value.
_FLAGS = ("--yes", "--allow-no-subscriptions")

# The one that the Azure CLI is set to.
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"

_SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.fake_az import main
sys.exit(main({directory!r}, sys.argv[1:]))
"""


class FakeAz:
    """The executable and what it holds.

    :param directory: where it is written; put it first on the PATH.
    :param identity: what ``az identity show`` prints.
    """

    def __init__(self, directory: Path, identity: dict[str, Any]) -> None:
        self._directory = directory
        directory.mkdir()
        root = str(Path(__file__).parent.parent)
        script = directory / "az"
        script.write_text(_SCRIPT.format(python=sys.executable, root=root, directory=str(directory)))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        _write(directory, "identity", identity)
        _write(directory, "credentials", {})
        _write(directory, "calls", [])

    def environment(self) -> dict[str, str]:
        """Return an environment in which this is ``az``."""
        return {"PATH": f"{self._directory}{os.pathsep}{os.environ['PATH']}"}

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call, in order."""
        calls: list[list[str]] = _read(self._directory, "calls")
        return calls

    @property
    def writes(self) -> list[str]:
        """What the calls that changed something did."""
        return [call[2] for call in self.calls if call[1] == "federated-credential" and call[2] != "list"]

    @property
    def writes_to_application(self) -> list[str]:
        """The same of an application."""
        return [call[3] for call in self.calls if call[2] == "federated-credential" and call[3] != "show"]

    @property
    def credentials(self) -> list[dict[str, Any]]:
        """What ``az identity federated-credential list`` prints."""
        return list(_read(self._directory, "credentials").values())

    def add(self, name: str, issuer: str, subject: str, audience: str) -> None:
        """Hold a credential from the start."""
        _create(self._directory, {"name": name, "issuer": issuer, "subject": subject, "audiences": audience})


def main(directory_name: str, arguments: list[str]) -> int:
    """Do what az would."""
    directory = Path(directory_name)
    if READS_INPUT in os.environ:
        sys.stdin.read()
    _write(directory, "calls", [*_read(directory, "calls"), arguments])
    words = list(takewhile(lambda word: not word.startswith("-"), arguments))
    options = _options(arguments[len(words) :])
    identity = _read(directory, "identity")
    if words[0] == "ad":
        return _application(directory, words[1:], options)
    match words:
        case ["identity", "federated-credential", "create"]:
            _check_identity(identity, options)
            return _create(directory, options)
        case ["identity", "federated-credential", "delete"]:
            _check_identity(identity, options)
            credentials = _read(directory, "credentials")
            del credentials[options["name"]]
            _write(directory, "credentials", credentials)
        case ["identity", "federated-credential", "list"]:
            _check_identity(identity, options)
            _print_list(list(_read(directory, "credentials").values()), options.get("query", ""))
        case ["identity", "show"] | ["identity", "create"]:
            print(json.dumps(identity, indent=2))
        case ["identity", "list"]:
            found = f"[?clientId=='{identity['clientId']}'].join(' ', [name, resourceGroup])"
            if options["query"] == found and options.get("subscription", SUBSCRIPTION) == SUBSCRIPTION:
                # As the Azure CLI of Windows ends lines.
                print(f"{identity['name']} {identity['resourceGroup']}\r")
        case ["account", "show"]:
            print("Data\r")
        case _:
            print(f"az: unknown command {arguments}", file=sys.stderr)
            return 2
    return 0


def _application(directory: Path, words: list[str], options: dict[str, str]) -> int:
    """Do what az does with applications: it makes no second credential of a name."""
    credentials = _read(directory, "credentials")
    name = options.get("federated-credential-id", "")
    match words:
        case ["app", "federated-credential", "show"]:
            return 0 if name in credentials else 3
        case ["app", "federated-credential", "create"]:
            values = json.loads(options["parameters"])
            if values["name"] in credentials:
                print("FederatedIdentityCredential with this name already exists.", file=sys.stderr)
                return 1
            return _create(directory, values | {"audiences": values["audiences"][0]})
        case ["app", "federated-credential", "update"]:
            values = json.loads(options["parameters"])
            return _create(directory, values | {"name": name, "audiences": values["audiences"][0]})
        case ["app", "federated-credential", "delete"]:
            del credentials[name]
            _write(directory, "credentials", credentials)
        case _:
            print(f"az: unknown command {words}", file=sys.stderr)
            return 2
    return 0


def _create(directory: Path, options: dict[str, str]) -> int:
    credentials = _read(directory, "credentials")
    others = [each for name, each in credentials.items() if name != options["name"]]
    if any((each["issuer"], each["subject"]) == (options["issuer"], options["subject"]) for each in others):
        print("(BadRequest) Issuer and subject combination already exists for this Managed Identity.", file=sys.stderr)
        return 1
    credentials[options["name"]] = {
        "name": options["name"],
        "issuer": options["issuer"],
        "subject": options["subject"],
        "audiences": [options["audiences"]],
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    }
    _write(directory, "credentials", credentials)
    return 0


def _print_list(credentials: list[dict[str, Any]], query: str) -> None:
    if not query:
        print(json.dumps(credentials, indent=2))
    for each in credentials:
        if query == f"[?issuer=='{each['issuer']}' && subject=='{each['subject']}'].name":
            print(f"{each['name']}\r")


def _check_identity(identity: dict[str, Any], options: dict[str, str]) -> None:
    if (options["identity-name"], options["resource-group"]) != (identity["name"], identity["resourceGroup"]):
        sys.exit("(ParentResourceNotFound) There is no such identity.")


def _options(arguments: list[str]) -> dict[str, str]:
    options, rest = {}, iter(arguments)
    for argument in rest:
        name, is_joined, value = argument.partition("=")
        if argument in _FLAGS:
            continue
        value = value if is_joined else next(rest)
        # As argparse has it, which the Azure CLI is made with.
        assert is_joined or not value.startswith("-"), f"az: expected one argument after {name}"
        options[name.removeprefix("--")] = value
    return options


def _read(directory: Path, what: str) -> Any:
    return json.loads((directory / f"{what}.json").read_text())


def _write(directory: Path, what: str, value: Any) -> None:
    (directory / f"{what}.json").write_text(json.dumps(value))
