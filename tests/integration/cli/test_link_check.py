import io
import json
import subprocess
from pathlib import Path

import pytest

from tests.fake_az import FakeAz
from tests.integration.cli.conftest import Run

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
        ("wrong-audience", f"its audience is api://wrong, expected {AUDIENCE}"),
        ("wrong-issuer", f"its issuer is {ISSUER.rstrip('/')!r}, expected {ISSUER!r}"),
    ]
    assert [each["name"] for each in shown["superfluous"]] == ["somebody-else"]
    assert shown["quota"]["used"] == 5


def test_the_commands_mend_it_and_delete_nothing(run: Run, listed: Path, az: FakeAz) -> None:
    accounts = (*ACCOUNTS, "--service-account", "ns:three", "--service-account", "ns:four")
    outcome = run("link", *WHERE, *accounts, "--check", str(listed))
    assert outcome.code == 1
    assert "1 missing, 2 wrong, 1 superfluous" in outcome.err
    subprocess.run(["bash", "-eu"], input=outcome.out, text=True, env=az.environment(), check=True)
    assert az.writes == ["create"] * 3
    listed.write_text(json.dumps(az.credentials))
    again = run("link", *WHERE, *accounts, "--check", str(listed))
    assert [line.split(":")[0] for line in again.out.splitlines()] == [
        "# superfluous, unless others use it",
        "# az identity federated-credential delete --yes --name somebody-else --identity-name astrodemoid "
        "--resource-group DemoGroup",
    ]


def test_nothing_is_printed_where_nothing_differs(run: Run, az: FakeAz, monkeypatch: pytest.MonkeyPatch) -> None:
    az.add("right", ISSUER, subject("one"), AUDIENCE)
    az.add("right-too", ISSUER, subject("two"), AUDIENCE)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(az.credentials)))
    outcome = run("link", *WHERE, *ACCOUNTS, "--check", "-")
    assert (outcome.code, outcome.out) == (0, "")
    assert "Nothing is missing" in outcome.err


def test_others_count_against_the_limit(run: Run, az: FakeAz, tmp_path: Path) -> None:
    for number in range(15):
        az.add(f"other-{number}", "https://elsewhere.example", subject(f"a{number}"), AUDIENCE)
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--astro", "orbit-1", "--check", str(file))
    assert outcome.code == 3
    assert "need 21 federated identity credentials" in outcome.err
    assert "--identity-name astrodemoid-2" in outcome.err


def test_what_the_rest_api_lists_is_understood_too(run: Run, tmp_path: Path) -> None:
    values = {"issuer": ISSUER, "subject": subject("one"), "audiences": [AUDIENCE]}
    (file := tmp_path / "list.json").write_text(json.dumps([{"name": "right", "properties": values}]))
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one", "--check", str(file))
    assert outcome.code == 0


def test_a_credential_that_matches_by_an_expression_counts_as_somebody_elses(run: Run, tmp_path: Path) -> None:
    flexible = {"name": "flexible", "issuer": ISSUER, "subject": None, "audiences": [AUDIENCE]}
    (file := tmp_path / "list.json").write_text(json.dumps([flexible]))
    shown = json.loads(run("link", *WHERE, *ACCOUNTS, "--check", str(file), "--json").out)
    assert [each["name"] for each in shown["superfluous"]] == ["flexible"]
    assert shown["quota"]["used"] == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
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
