"""The measurements themselves, which `dev/first-hour` runs in the environment that it made."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_azure_wi.testing import FederatedIdentityCredential, OfflineAzure

PROGRAMS = Path(sys.executable).parent
CONNECT = "airflow-azure-wi connection identity.json --conn-id azure_wi --format cli | bash"
# With the names, its last line is one command, and not a script that looks for them.
DOCTOR = "airflow-azure-wi doctor azure_wi --identity-name {name} --resource-group {group}"
REFUSAL = "AADSTS700213"


def main() -> None:
    """Follow both ways, and print how long each took; fail unless they end where they should."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as folder, OfflineAzure(Path(folder) / "azure") as azure:
        shell = Shell(Path(folder), azure)
        doctor = DOCTOR.format(name=azure.identity.name, group=azure.identity.resource_group)
        shell.run("airflow db migrate")
        (Path(folder) / "identity.json").write_text(json.dumps(azure.identity_json()), encoding="utf-8")
        started = time.monotonic()
        shell.run(CONNECT)
        shell.run(doctor)
        connected = time.monotonic() - started
        link_another_workload(azure)
        refused = shell.run(doctor, code=1)
        if REFUSAL not in refused:
            raise SystemExit(f"Expected {REFUSAL}:\n{refused}")
        started = time.monotonic()
        # What a person copies.
        apply(refused.splitlines()[-1], azure)
        shell.run(doctor)
        fixed = time.monotonic() - started
    print("\n| From | To | Seconds |\n| --- | --- | --- |")
    print(f"| the JSON of `az identity show` | a connection that signs in | {connected:.0f} |")
    print(f"| {REFUSAL} | the same doctor, green | {fixed:.0f} |")


class Shell:
    """The shell of a workload: commands of this environment, in an Airflow of their own."""

    def __init__(self, folder: Path, azure: OfflineAzure) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AZURE_"))}
        path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.folder = folder
        self.variables = own | azure.environment() | {"PATH": path, "AIRFLOW_HOME": str(folder / "airflow")}
        # As in any deployment, the connection says who signs in.
        for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
            self.variables.pop(name, None)

    def run(self, command: str, code: int = 0) -> str:
        """Run a line, and return what it prints; fail if it ends with another code."""
        started = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != code:
            raise SystemExit(f"{command} ended with {done.returncode}, expected {code}:\n{done.stdout}{done.stderr}")
        print(f"[{time.monotonic() - started:5.1f} s] {command}", flush=True)
        return done.stdout.rstrip()


def link_another_workload(azure: OfflineAzure) -> None:
    """Let the identity trust another service account instead of this one, as after a typing error."""
    [linked] = azure.identity.federated_credentials
    azure.identity.remove_credential(linked.name)
    other = f"{linked.subject}-of-another-release"
    azure.identity.add_credential(FederatedIdentityCredential("other", linked.issuer, other, linked.audiences))


def apply(command: str, azure: OfflineAzure) -> None:
    """Do what Azure would do upon the command that the doctor prints."""
    words = shlex.split(command)
    if words[:4] != ["az", "identity", "federated-credential", "create"]:
        raise SystemExit(f"The doctor ends with no command: {command}")
    options = dict(zip(words[4::2], words[5::2], strict=True))
    audiences = (options["--audiences"],)
    azure.identity.add_credential(
        FederatedIdentityCredential(options["--name"], options["--issuer"], options["--subject"], audiences)
    )


if __name__ == "__main__":
    main()
