"""An application with federated identity credentials of its own, for another tenant."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.fake_az import READS_INPUT, FakeAz
from tests.integration.cli.conftest import Run

ISSUER = "https://oidc.example.com/cluster/"
AUDIENCE = "api://AzureADTokenExchange"
APPLICATION = "b3a1f0de-0d2b-4e8c-9a53-6a1d0c6c7f42"
LINK = ("link", "--application", APPLICATION, "--issuer", ISSUER, "--service-account", "ns:one")


def sh(script: str, az: FakeAz) -> subprocess.CompletedProcess[str]:
    environment = az.environment() | {READS_INPUT: "1"}
    return subprocess.run(
        ["sh"], input=script, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_commands_link_it_and_name_the_connection(run: Run, az: FakeAz) -> None:
    outcome = run(*LINK, "--service-account", "ns:two", "--tenant", "contoso.onmicrosoft.com")
    first = sh(outcome.out, az)
    assert first.returncode == 0, first.stderr
    assert "A credential that already has one of these names is left as it is; --check compares it." in outcome.err
    assert [(each["subject"], each["audiences"]) for each in az.credentials] == [
        ("system:serviceaccount:ns:one", [AUDIENCE]),
        ("system:serviceaccount:ns:two", [AUDIENCE]),
    ]
    assert json.loads(first.stdout) == {"clientId": APPLICATION, "tenantId": "contoso.onmicrosoft.com"}
    assert sh(outcome.out, az).returncode == 0
    assert az.writes_to_application == ["create", "create"]


def test_what_it_prints_is_what_a_connection_is_made_from(run: Run, az: FakeAz, tmp_path: Path) -> None:
    printed = sh(run(*LINK, "--tenant", "contoso.onmicrosoft.com").out, az).stdout
    (file := tmp_path / "application.json").write_text(printed)
    outcome = run("connection", str(file), "--format", "json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["extra"] == {"clientId": APPLICATION, "tenantId": "contoso.onmicrosoft.com"}


def test_the_other_tenants_administrator_is_told_what_to_do(run: Run) -> None:
    outcome = run(*LINK, "--tenant", "contoso.onmicrosoft.com")
    assert "az login --tenant contoso.onmicrosoft.com --allow-no-subscriptions\n" in outcome.err
    assert f"az ad sp create --id {APPLICATION}\n" in outcome.err


def test_what_differs_is_replaced_and_only_named_where_it_is_extra(run: Run, az: FakeAz, tmp_path: Path) -> None:
    az.add("by-hand", ISSUER, "system:serviceaccount:ns:one", "api://wrong")
    az.add("other", ISSUER, "system:serviceaccount:ns:other", AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    outcome = run(*LINK, "--check", str(file))
    assert outcome.code == 1
    assert sh(outcome.out, az).returncode == 0
    assert [(each["name"], each["audiences"]) for each in az.credentials] == [
        ("by-hand", [AUDIENCE]),
        ("other", [AUDIENCE]),
    ]
    assert "# az ad app federated-credential delete" in outcome.out


def test_terraform_imports_by_the_id_that_graph_gave(run: Run, tmp_path: Path) -> None:
    entry = {"name": "by-hand", "id": "0f0e", "issuer": ISSUER, "subject": "system:serviceaccount:ns:one"}
    (file := tmp_path / "list.json").write_text(json.dumps([entry | {"audiences": [AUDIENCE]}]))
    outcome = run(*LINK, "--check", str(file), "--format", "terraform")
    assert 'id = "${data.azuread_application.airflow.object_id}/federatedIdentityCredential/0f0e"' in outcome.out
    assert 'display_name   = "by-hand"' in outcome.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--format", "bicep"), "Bicep finds an application only by its uniqueName"),
        (("--binding", "--cluster", "c", "--cluster-group", "g"), "--binding binds a managed identity"),
        (("--tenant", "no tenant"), "The tenant is 'no tenant'"),
        (("--application", "airflow"), "The application is 'airflow'"),
    ],
)
def test_what_cannot_be_is_explained(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    outcome = run(*LINK, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in outcome.err


def test_too_many_are_split_over_applications(run: Run) -> None:
    accounts = [argument for number in range(21) for argument in ("--service-account", f"ns:a{number}")]
    outcome = run("link", "--application", APPLICATION, "--issuer", ISSUER, *accounts)
    assert (outcome.code, outcome.out) == (3, "")
    assert "Split them over 2 applications" in outcome.err
    assert "--application ID_OF_APPLICATION_2 " in outcome.err
    assert "identity-binding" not in outcome.err
    shown = json.loads(run("link", "--application", APPLICATION, "--issuer", ISSUER, *accounts, "--json").out)
    assert "identityBinding" not in shown["proposal"]
