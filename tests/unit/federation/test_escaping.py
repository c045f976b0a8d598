"""Whatever is in a name stays in it, also where the command line would have refused it before."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_azure_wi.federation import Application, FederatedIdentityCredential, IdentityResource, az, templates
from airflow_azure_wi.federation.comparison import Comparison, Existing, Wrong
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
    fake = FakeAz(tmp_path / "bin", {"name": value, "resourceGroup": f"group {value}"})
    run_sh(az.link_script(IdentityResource(value, f"group {value}"), [credential(value)]), fake, tmp_path)
    assert [(each["name"], each["issuer"], each["subject"], each["audiences"]) for each in fake.credentials] == [
        (value, f"https://{value}", f"subject {value}", [f"api://{value}"])
    ]


@pytest.mark.parametrize("value", NASTY)
def test_the_script_for_an_application(tmp_path: Path, value: str) -> None:
    fake = FakeAz(tmp_path / "bin", {})
    printed = run_sh(az.link_script(Application("id", f"tenant {value}"), [credential(value)]), fake, tmp_path)
    assert [(each["name"], each["issuer"], each["subject"], each["audiences"]) for each in fake.credentials] == [
        (value, f"https://{value}", f"subject {value}", [f"api://{value}"])
    ]
    assert json.loads(printed) == {"clientId": "id", "tenantId": f"tenant {value}"}


@pytest.mark.parametrize("value", NASTY)
def test_single_commands(tmp_path: Path, value: str) -> None:
    fake = FakeAz(tmp_path / "bin", {"name": value, "resourceGroup": value, "clientId": "id"})
    existing = Existing(f"other {value}", value, value, (value,))
    wrong = Wrong(existing, credential("other"), value)
    comparison = Comparison((credential(value),), (wrong,), (existing,))
    where = IdentityResource(value, value)
    run_sh(az.changes_script(where, comparison), fake, tmp_path)
    for name in ("third", value):
        command = az.link_command(credential(name), client_id="id", resource=where, may_exist=True)
        subprocess.run(["sh", "-ec", command], env=fake.environment(), cwd=tmp_path, check=True)
    assert [each["name"] for each in fake.credentials] == [value, f"other {value}", "third"]


@settings(max_examples=25, deadline=None)
@given(arguments=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
@example(["az", "--name", "x" * 200, "--flag", "--other", "a b"])
@example(["az", "--name", "a\nb", "--id", "\\"])
def test_a_wrapped_command_is_the_same_command(arguments: list[str]) -> None:
    printed = subprocess.run(["sh", "-c", f"printf '%s\\0' {az.wrapped(arguments)}"], capture_output=True, check=True)
    assert printed.stdout.decode().split("\0")[:-1] == arguments
    commented = az.wrapped([argument.replace("\n", " ") for argument in arguments], prefix="# ")
    assert all(line.startswith("# ") for line in commented.split("\n")[:-1])


def run_sh(script: str, fake: FakeAz, directory: Path) -> str:
    """Run a script as its reader may, and look that nothing in it is run but az."""
    environment = fake.environment() | {READS_INPUT: "1"}
    done = subprocess.run(
        ["sh"], input=script, env=environment, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (directory / "broken").exists()
    return done.stdout


@pytest.mark.parametrize("value", NASTY)
def test_terraform(value: str) -> None:
    text = templates.terraform(IdentityResource(value, f"group {value}"), [credential(value), credential("other")])
    harmless = templates.terraform(IdentityResource("abc", "group"), [credential("abc"), credential("other")])
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
    text = templates.terraform(IdentityResource("abc", "group"), [credential(name) for name in ("one", "two", "three")])
    assert re.findall(r"depends_on = \[azurerm_federated_identity_credential\.(\w+)\]", text) == [
        "airflow_one",
        "airflow_two",
    ]


@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
@example("${HOME} it's \\${x}\\")
def test_a_string_of_bicep_ends_where_it_should(value: str) -> None:
    literal = templates.bicep_string(value)
    assert re.fullmatch(r"'(?:[^'\\]|\\.)*'", literal)
    assert not re.search(r"(?<!\\)\$\{", re.sub(r"\\\\", "", literal))
    assert re.sub(r"\\(.)", r"\1", literal[1:-1]) == value


def test_bicep_writes_one_after_the_other() -> None:
    text = templates.bicep(IdentityResource("abc", "group"), [credential("it's")])
    assert "@batchSize(1)" in text
    assert r"name: 'it\'s'" in text
    assert text.count("{") == text.count("}")
