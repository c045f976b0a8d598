import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fake_az import FakeAz
from tests.integration.cli.conftest import Pipe, Run

ISSUER = "https://oidc.example.com/cluster/"
AUDIENCE = "api://AzureADTokenExchange"
WHERE = ("--identity-name", "astrodemoid", "--resource-group", "DemoGroup")
ACCOUNTS = ("--issuer", ISSUER, "--service-account", "ns:one", "--service-account", "ns:two")


def subject(account: str) -> str:
    return f"system:serviceaccount:ns:{account}"


@pytest.fixture
def listed(az: FakeAz, tmp_path: Path) -> Path:
    """What az lists: one right, one of a wrong audience, one with a slash missing, one of somebody else."""
    az.add("right", ISSUER, subject("one"), AUDIENCE)
    az.add("wrong-audience", ISSUER, subject("two"), "api://wrong")
    az.add("wrong-issuer", ISSUER.rstrip("/"), subject("three"), AUDIENCE)
    az.add("somebody-else", "https://elsewhere.example", subject("one"), AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    return file


def test_only_what_differs_is_printed(run: Run, listed: Path) -> None:
    accounts = (*ACCOUNTS, "--service-account", "ns:three", "--service-account", "ns:four")
    outcome = run("link", *WHERE, *accounts, "--check", str(listed), "--json")
    assert outcome.code == 1
    shown = json.loads(outcome.out)
    assert [each["subject"] for each in shown["missing"]] == [subject("four")]
    assert [(each["name"], each["because"]) for each in shown["wrong"]] == [
        ("wrong-audience", f"its audience is 'api://wrong', expected '{AUDIENCE}'"),
        ("wrong-issuer", f"its issuer is {ISSUER.rstrip('/')!r}, expected {ISSUER!r}"),
    ]
    assert [each["name"] for each in shown["extra"]] == ["somebody-else"]
    assert shown["quota"]["used"] == 5


def test_the_commands_fix_it_and_delete_nothing(run: Run, listed: Path, az: FakeAz) -> None:
    accounts = (*ACCOUNTS, "--service-account", "ns:three", "--service-account", "ns:four")
    outcome = run("link", *WHERE, *accounts, "--check", str(listed))
    assert outcome.code == 1
    assert "1 missing, 2 wrong, 1 extra" in outcome.err
    subprocess.run(["sh", "-u"], input=outcome.out, text=True, env=az.environment(), check=True)
    assert az.writes == ["create"] * 3
    listed.write_text(json.dumps(az.credentials))
    again = run("link", *WHERE, *accounts, "--check", str(listed))
    assert [line.split(":")[0] for line in again.out.splitlines()] == [
        "# extra, unless others use it",
        "# az identity federated-credential delete --yes --name somebody-else --identity-name astrodemoid \\",
        "#     --resource-group DemoGroup",
    ]


def test_nothing_is_printed_where_nothing_differs(run: Run, az: FakeAz, pipe: Pipe) -> None:
    az.add("right", ISSUER, subject("one"), AUDIENCE)
    az.add("right-too", ISSUER, subject("two"), AUDIENCE)
    # As PowerShell redirects it, a warning of az before it.
    pipe(f"WARNING: something\r\n{json.dumps(az.credentials)}\r\n".encode("utf-16"))
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", "-")
    assert (outcome.code, outcome.out) == (0, "")
    assert "Nothing is missing" in outcome.err


def test_others_count_against_the_limit(run: Run, az: FakeAz, tmp_path: Path) -> None:
    for number in range(17):
        az.add(f"other-{number}", "https://elsewhere.example", subject(f"a{number}"), AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--astro", "orbit-1", "--check", str(file))
    assert outcome.code == 3
    assert "need 21 federated identity credentials" in outcome.err
    assert "--identity-name astrodemoid-2" in outcome.err


@pytest.mark.parametrize("wrap", [lambda entries: entries, lambda entries: {"value": entries}])
def test_what_the_rest_api_lists_is_understood_too(run: Run, tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    """https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials/list."""
    values = {"issuer": ISSUER, "subject": subject("one"), "audiences": [AUDIENCE]}
    (file := tmp_path / "list.json").write_text(json.dumps(wrap([{"name": "right", "properties": values}])))
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one", "--check", str(file))
    assert outcome.code == 0


FLEXIBLE = {
    "name": "flexible",
    "issuer": "https://token.actions.githubusercontent.com",
    "subject": None,
    "claimsMatchingExpression": {"value": "claims['sub'] matches 'repo:contoso/*'", "languageVersion": 1},
    "audiences": [AUDIENCE],
}


def test_a_flexible_credential_is_shown_as_what_it_is_and_left_alone(run: Run, tmp_path: Path) -> None:
    (file := tmp_path / "list.json").write_text(json.dumps([FLEXIBLE]))
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", str(file))
    assert "# matches by an expression, left as it is: flexible: claims['sub'] matches 'repo:contoso/*'" in outcome.out
    assert "delete" not in outcome.out
    shown = json.loads(run("link", *WHERE, *ACCOUNTS, "--check", str(file), "--json").out)
    assert shown["extra"] == []
    assert [each["claimsMatchingExpression"] for each in shown["flexible"]] == [
        "claims['sub'] matches 'repo:contoso/*'"
    ]
    assert shown["quota"]["used"] == 3


def test_a_flexible_credential_alone_is_no_difference(run: Run, az: FakeAz, tmp_path: Path) -> None:
    az.add("right", ISSUER, subject("one"), AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps([*az.credentials, FLEXIBLE]))
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one", "--check", str(file))
    assert (outcome.code, outcome.out) == (0, "")


def test_audiences_are_compared_whole(run: Run, tmp_path: Path) -> None:
    entry = {"name": "two", "issuer": ISSUER, "subject": subject("one"), "audiences": [AUDIENCE, "api://more"]}
    (file := tmp_path / "list.json").write_text(json.dumps([entry]))
    shown = json.loads(
        run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one", "--check", str(file), "--json").out
    )
    assert [each["because"] for each in shown["wrong"]] == [
        f"its audience is '{AUDIENCE}, api://more', expected '{AUDIENCE}'"
    ]


def test_a_difference_of_letter_case_alone_is_named(run: Run, az: FakeAz, tmp_path: Path) -> None:
    az.add("case", ISSUER, subject("One"), AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one", "--check", str(file))
    assert "only the letter case differs, which Entra refuses with AADSTS7002138" in outcome.out
    # People report that editing it did not help.
    subprocess.run(["sh"], input=outcome.out, text=True, env=az.environment(), check=True)
    assert [call[:3] for call in az.calls] == [
        ["identity", "federated-credential", "delete"],
        ["identity", "federated-credential", "create"],
    ]
    assert [(each["name"], each["subject"]) for each in az.credentials] == [("case", subject("one"))]


def test_pasted_into_a_terminal_a_failure_does_not_close_it(run: Run, listed: Path, az: FakeAz) -> None:
    other = ("link", "--identity-name", "other", *WHERE[2:])
    script = run(*other, *ACCOUNTS, "--check", str(listed)).out
    done = subprocess.run(
        ["sh"], input=f"{script}\necho still here", text=True, env=az.environment(), stdout=subprocess.PIPE, check=True
    )
    assert (done.stdout, len(az.calls)) == ("still here\n", 1)


def test_too_many_still_says_what_differs_and_what_to_delete(run: Run, az: FakeAz, tmp_path: Path) -> None:
    az.add("right", ISSUER, subject("one"), AUDIENCE)
    for number in range(19):
        issuer = ISSUER if number < 3 else "https://elsewhere.example"
        az.add(f"other-{number}", issuer, subject(f"gone-{number}"), AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", str(file))
    assert (outcome.code, outcome.out) == (3, "")
    assert "They fit once 1 extra credential is deleted, if no other workload uses it:" in outcome.err
    assert "Or give them an identity of their own, with its own connection and role assignments:" in outcome.err
    assert "\naz identity federated-credential delete --yes --name other-0 " in outcome.err
    assert f"# missing: {subject('two')}" in outcome.err
    assert "# extra, unless others use it: other-18" in outcome.err
    shown = json.loads(run("link", *WHERE, *ACCOUNTS, "--check", str(file), "--json").out)
    assert shown["proposal"]["delete"] == ["other-0"]
    assert [each["subject"] for each in shown["missing"]] == [subject("two")]
    assert len(shown["extra"]) == 19


def test_terraform_imports_what_exists_under_other_names(run: Run, listed: Path) -> None:
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", str(listed), "--format", "terraform")
    assert outcome.out.count("import {") == 2
    assert (
        "to = azurerm_federated_identity_credential.airflow_right\n"
        '  id = "${data.azurerm_user_assigned_identity.airflow.id}/federatedIdentityCredentials/right"'
    ) in outcome.out
    assert '  name                      = "wrong-audience"' in outcome.out


def test_bicep_takes_the_names_of_what_exists(run: Run, listed: Path) -> None:
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", str(listed), "--format", "bicep")
    assert "{ // exists already\n    name: 'right'" in outcome.out
    assert "{ // exists already\n    name: 'wrong-audience'" in outcome.out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("{}", "holds no JSON array"),
        ("[{}]", "entry 1 lacks"),
        ('[{"name": "x\\nreboot", "issuer": "i", "subject": "s", "audiences": []}]', "entry 1 lacks"),
        ('[{"name": "x", "issuer": "i", "subject": "s", "audiences": [1]}]', "entry 1 lacks"),
    ],
)
def test_what_is_no_list_of_credentials(run: Run, tmp_path: Path, text: str, problem: str) -> None:
    (file := tmp_path / "list.json").write_text(text)
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", str(file))
    assert outcome.code == 2
    assert problem in outcome.err
    assert "az identity federated-credential list" in outcome.err
