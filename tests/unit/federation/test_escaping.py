"""Whatever is in a name stays in it, also where the command line would have refused it before."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_azure_wi.federation import az_script, bicep, changes_script, commands, terraform
from airflow_azure_wi.federation.comparison import Comparison, Existing, Wrong
from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, IdentityResource
from tests.fake_az import FakeAz

NASTY = [
    "it's",
    'say "hi"',
    "two words",
    "$(touch broken) `touch broken`",
    "${HOME} %{ if true } $$",
    "a\\b\\",
    "; touch broken #",
    "*",
    "-rf",
]


def credential(value: str) -> FederatedIdentityCredential:
    return FederatedIdentityCredential(value, f"https://{value}", f"subject {value}", f"api://{value}")


@pytest.mark.parametrize("value", NASTY)
def test_bash(tmp_path: Path, value: str) -> None:
    az = FakeAz(tmp_path / "bin", {"name": value, "resourceGroup": f"group {value}"})
    script = az_script.render(IdentityResource(value, f"group {value}"), [credential(value)])
    done = subprocess.run(["bash"], input=script, env=az.environment(), cwd=tmp_path, text=True, check=False)
    assert done.returncode == 0
    assert [(each["name"], each["issuer"], each["subject"], each["audiences"]) for each in az.credentials] == [
        (value, f"https://{value}", f"subject {value}", [f"api://{value}"])
    ]
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("value", NASTY)
def test_single_commands(tmp_path: Path, value: str) -> None:
    az = FakeAz(tmp_path / "bin", {"name": value, "resourceGroup": value, "clientId": "id"})
    existing = Existing(value, value, value, (value,))
    comparison = Comparison((credential(value),), (Wrong(existing, credential("other"), value),), (existing,))
    script = changes_script.render(IdentityResource(value, value), comparison)
    script += commands.create_for_client("id", credential("third"))
    done = subprocess.run(["bash", "-e"], input=script, env=az.environment(), cwd=tmp_path, text=True, check=False)
    assert done.returncode == 0
    assert [each["name"] for each in az.credentials] == [value, "other", "third"]
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("value", NASTY)
def test_terraform(value: str) -> None:
    text = terraform.render(IdentityResource(value, f"group {value}"), [credential(value), credential("other")])
    harmless = terraform.render(IdentityResource("abc", "group"), [credential("abc"), credential("other")])
    assert structure(text) == structure(harmless)
    literals = re.findall(r'^ +(\w+) += \[?("(?:[^"\\]|\\.)*")\]?$', text, re.MULTILINE)
    assert [(name, unquoted(literal)) for name, literal in literals[:6]] == [
        ("name", value),
        ("resource_group_name", f"group {value}"),
        ("name", value),
        ("issuer", f"https://{value}"),
        ("subject", f"subject {value}"),
        ("audience", f"api://{value}"),
    ]


def structure(text: str) -> str:
    """Return what is left of a configuration without its literals and the names made of them."""
    return re.sub(
        r"airflow_[\w-]+", "LABEL", re.sub(r'(?<= )\[?"(?:[^"\\]|\\.)*"\]?$', "LITERAL", text, flags=re.MULTILINE)
    )


def unquoted(literal: str) -> str:
    """Read a template of HCL that must hold neither interpolations nor directives."""
    assert not re.search(r"(?<!\$)(\$\$)*\$\{|(?<!%)(%%)*%\{", literal.replace("$${", "").replace("%%{", ""))
    return str(json.loads(literal)).replace("$${", "${").replace("%%{", "%{")


def test_terraform_writes_one_after_the_other() -> None:
    text = terraform.render(IdentityResource("abc", "group"), [credential(name) for name in ("one", "two", "three")])
    assert re.findall(r"depends_on = \[azurerm_federated_identity_credential\.(\w+)\]", text) == [
        "airflow_one",
        "airflow_two",
    ]


@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
@example("${HOME} it's \\${x}\\")
def test_a_string_of_bicep_ends_where_it_should(value: str) -> None:
    literal = bicep.quoted(value)
    assert re.fullmatch(r"'(?:[^'\\]|\\.)*'", literal)
    assert not re.search(r"(?<!\\)\$\{", re.sub(r"\\\\", "", literal))
    assert re.sub(r"\\(.)", r"\1", literal[1:-1]) == value


def test_bicep_writes_one_after_the_other() -> None:
    text = bicep.render(IdentityResource("abc", "group"), [credential("it's")])
    assert "@batchSize(1)" in text
    assert r"name: 'it\'s'" in text
    assert text.count("{") == text.count("}")


def test_a_command_for_a_client_runs_as_it_is(tmp_path: Path) -> None:
    az = FakeAz(tmp_path / "bin", {"name": "airflow", "resourceGroup": "data", "clientId": "id"})
    command = commands.create_for_client("id", credential("x"))
    subprocess.run(["bash", "-c", command], env=az.environment(), check=True)
    assert [each["name"] for each in az.credentials] == ["x"]
    assert shlex.split(command.splitlines()[-1])[:4] == ["az", "identity", "federated-credential", "create"]
