import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from tests.fake_az import FakeAz
from tests.integration.cli.conftest import Outcome, Run

ISSUER = "https://oidc.example.com/cluster/"
AUDIENCE = "api://AzureADTokenExchange"
WHERE = ("--identity-name", "astrodemoid", "--resource-group", "DemoGroup")


def bash(script: str, az: FakeAz) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash"], input=script, env=az.environment(), capture_output=True, text=True, check=False, timeout=60
    )


def subjects(outcome: Outcome) -> list[str]:
    shown = json.loads(outcome.out)
    return [credential["subject"] for each in shown["deployments"] for credential in each["credentials"]]


def test_the_script_links_each_workload_once_and_ends_with_the_identity(run: Run, az: FakeAz) -> None:
    script = run("link", *WHERE, "--issuer", ISSUER, "--astro", "orbit-1").out
    first = bash(script, az)
    assert first.returncode == 0, first.stderr
    assert [credential["subject"] for credential in az.credentials] == [
        *(
            f"system:serviceaccount:orbit-1:orbit-1-{component}-serviceaccount"
            for component in ("scheduler", "triggerer", "worker", "dag-processor", "webserver")
        ),
        "system:serviceaccount:orbit-1:orbit-1-kpo",
    ]
    assert {(each["issuer"], *each["audiences"]) for each in az.credentials} == {(ISSUER, AUDIENCE)}
    assert az.writes == ["create"] * 6
    assert json.loads(first.stdout)["clientId"] == "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"
    second = bash(script, az)
    assert second.returncode == 0
    assert az.writes == ["create"] * 6
    assert second.stderr.count("Linked already") == 6
    assert second.stdout == first.stdout


def test_what_was_linked_under_another_name_is_left_as_it_is(run: Run, az: FakeAz) -> None:
    az.add("made-by-hand", ISSUER, "system:serviceaccount:airflow:af-worker", AUDIENCE)
    done = bash(run("link", *WHERE, "--issuer", ISSUER, "--helm", "af", "--namespace", "airflow").out, az)
    assert done.returncode == 0, done.stderr
    assert len(az.writes) == 4
    assert "Linked already, by made-by-hand: system:serviceaccount:airflow:af-worker" in done.stderr


def test_a_wrong_audience_is_replaced_under_its_name(run: Run, az: FakeAz) -> None:
    az.add("made-by-hand", ISSUER, "system:serviceaccount:ns:one", "api://wrong")
    done = bash(run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one").out, az)
    assert done.returncode == 0, done.stderr
    assert [(each["name"], each["audiences"]) for each in az.credentials] == [("made-by-hand", [AUDIENCE])]


def test_a_failure_of_az_ends_the_script(run: Run, az: FakeAz) -> None:
    script = run("link", "--identity-name", "other", *WHERE[2:], "--issuer", ISSUER, "--astro", "orbit-1").out
    done = bash(script, az)
    assert done.returncode != 0
    assert not az.writes
    assert not done.stdout


def test_the_subscription_is_part_of_every_command(run: Run, az: FakeAz) -> None:
    subscription = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
    script = run(
        *("link", *WHERE, "--subscription", subscription, "--issuer", ISSUER, "--service-account", "ns:one")
    ).out
    assert bash(script, az).returncode == 0
    assert all(call[call.index("--subscription") + 1] == subscription for call in az.calls)


def test_the_accounts_of_the_helm_chart(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--helm", "af", "--namespace", "data", "--json")
    assert subjects(outcome) == [
        f"system:serviceaccount:data:af-{component}"
        for component in ("scheduler", "triggerer", "worker", "dag-processor", "api-server")
    ]


def test_several_deployments_with_a_namespace_and_an_issuer_each(run: Run) -> None:
    outcome = run(
        *("link", *WHERE, "--json", "--helm", "one", "--astro", "orbit-1", "--helm", "two"),
        *("--namespace", "n1", "--namespace", "n2"),
        *("--issuer", "https://a.example", "--issuer", "https://b.example", "--issuer", "https://c.example"),
    )
    shown = json.loads(outcome.out)
    found = {each["title"]: each["credentials"][0] for each in shown["deployments"]}
    assert [(title, credential["issuer"]) for title, credential in found.items()] == [
        ("release one in namespace n1", "https://a.example"),
        ("Astro deployment orbit-1", "https://b.example"),
        ("release two in namespace n2", "https://c.example"),
    ]
    assert found["release two in namespace n2"]["subject"] == "system:serviceaccount:n2:two-scheduler"


def test_the_same_release_on_two_clusters(run: Run) -> None:
    outcome = run(
        *("link", *WHERE, "--json", "--helm", "af", "--helm", "af", "--namespace", "data"),
        *("--issuer", "https://a.example", "--issuer", "https://b.example"),
    )
    issuers = [each["credentials"][0]["issuer"] for each in json.loads(outcome.out)["deployments"]]
    assert issuers == ["https://a.example", "https://b.example"]


def test_the_same_workload_is_linked_once(run: Run) -> None:
    arguments = ("--helm", "af", "--service-account", "af-worker", "--namespace", "data")
    outcome = run("link", *WHERE, "--json", "--issuer", ISSUER, *arguments)
    assert len(subjects(outcome)) == 5


def test_the_same_workload_of_two_clusters_has_two_names(run: Run) -> None:
    names = set()
    for issuer in (ISSUER, "https://other.example"):
        shown = json.loads(run("link", *WHERE, "--json", "--issuer", issuer, "--service-account", "ns:one").out)
        names.add(shown["deployments"][0]["credentials"][0]["name"])
    assert len(names) == 2


def test_inside_a_workload_its_own_token_says_what_to_link(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = {"iss": ISSUER, "sub": "system:serviceaccount:ns:me", "aud": [AUDIENCE]}
    token = jwt.encode(claims, "a key of sufficient length for HS256")
    (file := tmp_path / "token").write_text(token)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    outcome = run("link", *WHERE, "--json")
    assert subjects(outcome) == ["system:serviceaccount:ns:me"]
    assert f'"issuer": "{ISSUER}"' in outcome.out
    assert token not in outcome.out + outcome.err
    others = json.loads(run("link", *WHERE, "--json", "--astro", "orbit-1").out)
    assert others["deployments"][0]["credentials"][0]["issuer"] == ISSUER


def test_the_audience_is_that_of_the_cloud(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--astro", "orbit-1", "--cloud", "AzureUSGovernment")
    assert "api://AzureADTokenExchangeUSGov" in outcome.out
    assert "az cloud set --name AzureUSGovernment" in outcome.err


def test_all_problems_are_said_at_once(run: Run) -> None:
    outcome = run(
        *("link", "--identity-name", "a'b", "--resource-group", "g;g", "--issuer", "http://x.example"),
        *("--helm", "$(reboot)", "--service-account", "ns:Me"),
    )
    assert outcome.code == 2
    assert not outcome.out
    for problem in (
        'managed identity is "a\'b"',
        "resource group is 'g;g'",
        "issuer is 'http://x.example': it is http",
        "--helm '$(reboot)' needs a namespace",
        "service account is 'Me'",
    ):
        assert problem in outcome.err


def test_problems_as_json(run: Run) -> None:
    outcome = run("link", *WHERE, "--json")
    assert outcome.code == 2
    assert "No deployment is given" in json.loads(outcome.out)["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--astro", "orbit-1"), "The issuer is missing"),
        (("--astro", "a", "--astro", "b", "--astro", "c", "--issuer", ISSUER, "--issuer", ISSUER), "2 times for 3"),
        (("--helm", "a", "--namespace", "x", "--namespace", "y", "--issuer", ISSUER), "2 times for 1 releases"),
        (("--namespace", "x", "--issuer", ISSUER), "--namespace is given alone"),
        (("--astro", "a", "--issuer", ISSUER, "--json", "--format", "az"), "exclude each other"),
        (("--astro", "a", "--issuer", ISSUER, "--format", "bicep", "--check", "-"), "not bicep"),
        (("--astro", "a", "--issuer", ISSUER, "--check", "/does/not/exist"), "No such file"),
        (("--astro", "a", "--issuer", ISSUER, "--audience", "two words"), "The audience is 'two words'"),
        (("--astro", "a", "--issuer", ISSUER, "--subscription", "mine"), "The subscription is 'mine'"),
    ],
)
def test_what_cannot_be_is_explained(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    outcome = run("link", *WHERE, *arguments)
    assert outcome.code == 2
    assert problem in outcome.err + outcome.out


def test_how_many_deployments_still_fit(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--astro", "a", "--astro", "b")
    assert "12 of 20" in outcome.err
    assert "1 more deployment of 6" in outcome.err


FOUR = [argument for name in ("a", "b", "c", "d") for argument in ("--astro", name)]


def test_beyond_the_limit_nothing_runs_and_the_ways_out_are_shown(run: Run, az: FakeAz) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, *FOUR)
    assert outcome.code == 3
    assert not outcome.out
    assert "need 24 federated identity credentials" in outcome.err
    assert "az identity create --name astrodemoid-2 --resource-group DemoGroup" in outcome.err
    assert "az aks identity-binding create" in outcome.err


def test_each_proposed_command_fits_its_identity(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, *FOUR, "--audience", "api://own", "--json")
    assert outcome.code == 3
    shares = json.loads(outcome.out)["proposal"]["identities"]
    linked: list[Any] = []
    for share in shares:
        command = share["commands"][-1]
        assert command.endswith(" | bash")
        again = run(*shlex.split(command.removesuffix(" | bash"))[1:], "--json")
        assert again.code == 0
        assert json.loads(again.out)["identity"]["name"] == share["identity"]["name"]
        assert "api://own" in again.out
        linked += subjects(again)
    assert len(linked) == len(set(linked)) == 24


def test_the_binding_is_a_script_and_two_manifests(run: Run) -> None:
    proposal = json.loads(run("link", *WHERE, "--issuer", ISSUER, *FOUR, "--json").out)["proposal"]
    script = proposal["identityBinding"]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    manifests = list(yaml.safe_load_all(script.split("<<EOF\n")[1].split("\nEOF\n")[0]))
    assert manifests[0]["rules"] == [
        {"verbs": ["use-managed-identity"], "apiGroups": ["cid.wi.aks.azure.com"], "resources": ["$CLIENT_ID"]}
    ]
    assert len(manifests[1]["subjects"]) == 24
