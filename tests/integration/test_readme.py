"""Every code block of the README is run here, or it says why not."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.airflow_program import Airflow

PROGRAM = str(Path(sys.executable).parent / "airflow-azure-wi")
ROOT = Path(__file__).resolve().parent.parent.parent
BLOCKS = [
    (language, re.sub(r"(?m)^" + indent, "", code))
    for indent, language, code in re.findall(
        r"(?ms)^( *)```(\w+)\n(.*?)^ *```$", (ROOT / "README.md").read_text(encoding="utf-8")
    )
]


def block(start: str) -> str:
    [code] = [code for _, code in BLOCKS if code.startswith(start)]
    return code


def words_of(start: str) -> list[str]:
    """Split a command as a shell does, which takes a backslash at the end of a line for a space."""
    return shlex.split(block(start).replace("\\\n", " "))


def test_every_block_is_covered_here() -> None:
    covered = (
        "./dev/",
        "airflow-azure-wi",
        "pip install",
        "az identity",
        "az role",
        "airflow connections",
        "from airflow_azure_wi",
    )
    assert [code for _, code in BLOCKS if not code.startswith(covered)] == []
    assert len(BLOCKS) == 11


@pytest.mark.parametrize("script", ["./dev/demo", "./dev/test"])
def test_the_two_commands_are_there_and_explain_themselves(script: str) -> None:
    """Running them here would run this test again: that they work is what a fresh clone shows."""
    assert block(script).strip() == script
    assert (ROOT / script).stat().st_mode & 0o111
    assert subprocess.run([ROOT / script, "--help"], capture_output=True, check=True).stdout


def test_what_is_installed_is_this_distribution() -> None:
    assert block("airflow-azure-wi\n").strip() == "airflow-azure-wi"
    assert block("pip install").split() == ["pip", "install", "airflow-azure-wi"]
    assert 'name = "airflow-azure-wi"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_identity_that_is_created_is_the_one_that_is_linked() -> None:
    """No ``az`` runs here: the script that links is run against a stand-in by tests/integration/cli/test_link.py."""
    create, link = words_of("az identity create"), words_of("airflow-azure-wi link")
    assert " ".join(create[3:]) in " ".join(block("az role assignment create").replace("\\\n", " ").split())
    assert link[link.index("--identity-name") + 1] == create[create.index("--name") + 1]
    assert link[link.index("--resource-group") + 1] == create[create.index("--resource-group") + 1]
    printed = subprocess.run([PROGRAM, *link[1:]], capture_output=True, text=True, check=True).stdout
    assert printed.count("az identity federated-credential create") == 5
    assert "--subject system:serviceaccount:airflow:airflow-worker" in printed
    assert "--audiences api://AzureADTokenExchange" in printed


def test_the_doctor_says_that_it_works(workload_variables: Callable[..., dict[str, str]]) -> None:
    command = words_of("airflow-azure-wi doctor")
    variables = os.environ | workload_variables()
    done = subprocess.run([PROGRAM, *command[1:]], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Signed in as" in done.stdout


def test_the_connection_is_made_and_the_hook_builds_its_clients(
    airflow: Airflow, workload_variables: Callable[..., dict[str, str]]
) -> None:
    command = words_of("airflow connections add")
    airflow.run("connections", "delete", "azure_wi", check=False)
    airflow.run(*command[1:])
    [stored] = airflow.rows("connections", "get", "azure_wi")
    assert stored["conn_type"] == "azure_workload_identity"
    assert set(stored["extra_dejson"]) == {"clientId", "tenantId", "subscriptionId"}

    examples = [code for language, code in BLOCKS if language == "python"]
    report = (
        "import json; print(json.dumps([type(x).__name__ for x in (blobs, accounts, credential)] + list(variables)))"
    )
    printed = json.loads(airflow.python("\n".join([*examples, report]), **workload_variables()).splitlines()[-1])
    assert printed[:3] == ["BlobServiceClient", "StorageManagementClient", "SharedCredential"]
    assert "AZURE_FEDERATED_TOKEN_FILE" in printed
