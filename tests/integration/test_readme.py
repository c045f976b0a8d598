"""Every code block of the README is run here, or it says why not."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_azure_wi.testing import FederatedIdentityCredential, OfflineAzure
from tests.airflow_program import Airflow

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
        "airflow connections",
        "from airflow_azure_wi",
    )
    assert [code for _, code in BLOCKS if not code.startswith(covered)] == []
    assert len(BLOCKS) == 9


@pytest.mark.parametrize("script", ["./dev/demo", "./dev/test"])
def test_the_two_commands_are_there_and_explain_themselves(script: str) -> None:
    """Running them here would run this test again: that they work is what a fresh clone shows."""
    assert block(script).strip() == script
    assert (ROOT / script).stat().st_mode & 0o111
    assert subprocess.run([ROOT / script, "--help"], capture_output=True, check=True).stdout


def test_what_is_installed_is_this_distribution() -> None:
    assert block("airflow-azure-wi").strip() == "airflow-azure-wi"
    assert block("pip install").split() == ["pip", "install", "airflow-azure-wi"]
    assert 'name = "airflow-azure-wi"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_az_commands_link_a_workload(azure: OfflineAzure) -> None:
    """No ``az`` runs here: its arguments are applied to the simulated Entra, which takes what Entra takes."""
    create = words_of("az identity create")
    assert create[:3] == ["az", "identity", "create"]
    words = words_of("az identity federated-credential create")
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options["--resource-group"] == create[create.index("--resource-group") + 1]
    assert options["--identity-name"] == create[create.index("--name") + 1]
    [real] = azure.identity.federated_credentials
    azure.identity.add_credential(
        FederatedIdentityCredential(real.name, options["--issuer"], options["--subject"], (options["--audiences"],))
    )
    azure.identity.add_credential(real)
    assert (options["--subject"], (options["--audiences"],)) == (real.subject, real.audiences)


def test_the_connection_is_made_and_the_hook_builds_its_clients(
    airflow: Airflow, workload_variables: Callable[..., dict[str, str]]
) -> None:
    command = words_of("airflow connections add")
    airflow.run("connections", "delete", "azure_wi", check=False)
    airflow.run(*command[1:])
    [stored] = airflow.rows("connections", "get", "azure_wi")
    assert stored["conn_type"] == "azure_workload_identity"
    assert set(stored["extra_dejson"]) == {"clientId", "tenantId"}

    examples = [code for language, code in BLOCKS if language == "python"]
    report = (
        "import json; print(json.dumps([type(x).__name__ for x in (blobs, accounts, credential)] + list(variables)))"
    )
    printed = json.loads(airflow.python("\n".join([*examples, report]), **workload_variables()).splitlines()[-1])
    assert printed[:3] == ["BlobServiceClient", "StorageManagementClient", "SharedCredential"]
    assert "AZURE_FEDERATED_TOKEN_FILE" in printed
