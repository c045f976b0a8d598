"""Whatever is in a name stays in it, also where the command line would have refused it before."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_azure_wi.federation import az_script, bicep, changes_script, commands, lookup_command, terraform
from airflow_azure_wi.federation.comparison import Comparison, Existing, Wrong
from airflow_azure_wi.federation.credentials import Application, FederatedIdentityCredential, IdentityResource
from tests.fake_az import READS_INPUT, FakeAz

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
def test_the_script(tmp_path: Path, value: str) -> None:
    az = FakeAz(tmp_path / "bin", {"name": value, "resourceGroup": f"group {value}"})
    run_sh(az_script.render(IdentityResource(value, f"group {value}"), [credential(value)]), az, tmp_path)
    assert [(each["name"], each["issuer"], each["subject"], each["audiences"]) for each in az.credentials] == [
        (value, f"https://{value}", f"subject {value}", [f"api://{value}"])
    ]


@pytest.mark.parametrize("value", NASTY)
def test_the_script_for_an_application(tmp_path: Path, value: str) -> None:
    az = FakeAz(tmp_path / "bin", {})
    printed = run_sh(az_script.render(Application("id", f"tenant {value}"), [credential(value)]), az, tmp_path)
    assert [(each["name"], each["issuer"], each["subject"], each["audiences"]) for each in az.credentials] == [
        (value, f"https://{value}", f"subject {value}", [f"api://{value}"])
    ]
    assert json.loads(printed) == {"clientId": "id", "tenantId": f"tenant {value}"}


@pytest.mark.parametrize("value", NASTY)
def test_single_commands(tmp_path: Path, value: str) -> None:
    az = FakeAz(tmp_path / "bin", {"name": value, "resourceGroup": value, "clientId": "id"})
    existing = Existing(value, value, value, (value,))
    wrong = Wrong(existing, credential("other"), credential("other"), value)
    comparison = Comparison((credential(value),), (wrong,), (existing,))
    where = IdentityResource(value, value)
    run_sh(changes_script.render(where, comparison), az, tmp_path)
    for name in ("third", value):
        command = lookup_command.link(credential(name), client_id="id", resource=where, may_exist=True)
        subprocess.run(["sh", "-ec", command], env=az.environment(), cwd=tmp_path, check=True)
    assert [each["name"] for each in az.credentials] == [value, "other", "third"]


@settings(max_examples=25, deadline=None)
@given(arguments=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
@example(["az", "--name", "x" * 200, "--flag", "--other", "a b"])
@example(["az", "--name", "a\nb", "--id", "\\"])
def test_a_wrapped_command_is_the_same_command(arguments: list[str]) -> None:
    printed = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {commands.wrapped(arguments)}"], capture_output=True, check=True
    )
    assert printed.stdout.decode().split("\0")[:-1] == arguments
    commented = commands.wrapped([argument.replace("\n", " ") for argument in arguments], prefix="# ")
    assert all(line.startswith("# ") for line in commented.split("\n")[:-1])


def run_sh(script: str, az: FakeAz, directory: Path) -> str:
    """Run a script as its reader may, and look that nothing in it is run but az."""
    environment = az.environment() | {READS_INPUT: "1"}
    done = subprocess.run(
        ["sh"], input=script, env=environment, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (directory / "broken").exists()
    return done.stdout


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
