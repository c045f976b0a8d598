import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from tests.fake_az import READS_INPUT, FakeAz
from tests.integration.cli.conftest import Outcome, Run

ISSUER = "https://oidc.example.com/cluster/"
AUDIENCE = "api://AzureADTokenExchange"
CLIENT_ID = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"
WHERE = ("--identity-name", "astrodemoid", "--resource-group", "DemoGroup")


def sh(script: str, az: FakeAz, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    """Pipe a script into sh, where az reads whatever of the pipe it can get."""
    environment = az.environment() | {READS_INPUT: "1"}
    return subprocess.run(
        [shell], input=script, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def subjects(outcome: Outcome) -> list[str]:
    shown = json.loads(outcome.out)
    return [credential["subject"] for each in shown["deployments"] for credential in each["credentials"]]


# bash, unlike dash, leaves what it has not read of a pipe to the programs that it starts.
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_commands_link_each_workload_once_and_end_with_the_identity(run: Run, az: FakeAz, shell: str) -> None:
    """The four accounts of an Astro deployment, under the names that Astro's own command gives the credentials."""
    script = run("link", *WHERE, "--issuer", ISSUER, "--astro", "orbit-1").out
    first = sh(script, az, shell)
    assert first.returncode == 0, first.stderr
    assert [(credential["name"], credential["subject"]) for credential in az.credentials] == [
        ("orbit-1-scheduler", "system:serviceaccount:orbit-1:orbit-1-scheduler-serviceaccount"),
        ("orbit-1-triggerer", "system:serviceaccount:orbit-1:orbit-1-triggerer-serviceaccount"),
        ("orbit-1-worker", "system:serviceaccount:orbit-1:orbit-1-worker-serviceaccount"),
        ("orbit-1-kpo", "system:serviceaccount:orbit-1:orbit-1-kpo"),
    ]
    assert {(each["issuer"], *each["audiences"]) for each in az.credentials} == {(ISSUER, AUDIENCE)}
    assert json.loads(first.stdout)["clientId"] == "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"
    before = az.credentials
    second = sh(script, az)
    assert second.returncode == 0
    assert az.credentials == before
    assert second.stdout == first.stdout


def test_it_is_plain_commands_that_fit_on_a_screen(run: Run) -> None:
    script = run("link", *WHERE, "--issuer", ISSUER, "--astro", "orbit-1").out
    assert script.count("az identity federated-credential create") == 4
    assert len(script.splitlines()) <= 24
    assert max(map(len, script.splitlines())) <= 100


def test_more_components_of_an_astro_deployment(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--astro", "o", "--also", "dag-processor,apiserver", "--json")
    [deployment] = json.loads(outcome.out)["deployments"]
    assert [each["name"] for each in deployment["credentials"]] == [
        *("o-scheduler", "o-triggerer", "o-worker", "o-dag-processor", "o-apiserver", "o-kpo")
    ]
    assert deployment["credentials"][4]["subject"] == "system:serviceaccount:o:o-apiserver-serviceaccount"


def test_what_was_linked_under_another_name_stops_it_and_check_says_which(run: Run, az: FakeAz, tmp_path: Path) -> None:
    az.add("made-by-hand", ISSUER, "system:serviceaccount:airflow:af-airflow-worker", AUDIENCE)
    arguments = ("link", *WHERE, "--issuer", ISSUER, "--helm", "af", "--namespace", "airflow")
    outcome = run(*arguments)
    done = sh(outcome.out, az)
    assert done.returncode != 0
    assert not done.stdout
    assert "--check shows under which name" in outcome.err
    (file := tmp_path / "list.json").write_text(json.dumps(az.credentials))
    assert sh(run(*arguments, "--check", str(file)).out, az).returncode == 0
    assert len(az.credentials) == 5


def test_the_first_failure_of_az_ends_it(run: Run, az: FakeAz) -> None:
    script = run("link", "--identity-name", "other", *WHERE[2:], "--issuer", ISSUER, "--astro", "orbit-1").out
    done = sh(script, az)
    assert done.returncode != 0
    assert len(az.calls) == 1
    assert not done.stdout


def test_pasted_into_a_terminal_a_failure_does_not_close_it(run: Run, az: FakeAz) -> None:
    script = run("link", "--identity-name", "other", *WHERE[2:], "--issuer", ISSUER, "--astro", "orbit-1").out
    assert sh(f"{script}echo still here", az).stdout == "still here\n"


def test_the_subscription_is_part_of_every_command(run: Run, az: FakeAz) -> None:
    subscription = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
    script = run(
        *("link", *WHERE, "--subscription", subscription, "--issuer", ISSUER, "--service-account", "ns:one")
    ).out
    assert sh(script, az).returncode == 0
    assert all(call[call.index("--subscription") + 1] == subscription for call in az.calls)


def test_the_accounts_of_the_helm_chart(run: Run) -> None:
    """The chart's names for release ``prod``: apache/airflow, helm-tests/tests/helm_tests/airflow_aux."""
    arguments = ("link", *WHERE, "--issuer", ISSUER, "--helm", "prod", "--namespace", "data")
    assert subjects(run(*arguments, "--json")) == [
        f"system:serviceaccount:data:prod-airflow-{component}"
        for component in ("scheduler", "triggerer", "worker", "dag-processor", "api-server")
    ]
    said = run(*arguments).err
    assert "'prod-airflow-worker': workers (the release's name and the chart's name)" in said
    assert "Assumed: Airflow 3 and the chart's defaults" in said


def test_the_users_own_values_of_the_chart(run: Run, tmp_path: Path) -> None:
    (file := tmp_path / "values.yaml").write_text(
        "USER-SUPPLIED VALUES:\n"
        "airflowVersion: 2.11.0\nexecutor: KubernetesExecutor\nfullnameOverride: af\n"
        "workers: {serviceAccount: {create: false, name: tasks}}\ntriggerer: {serviceAccount: {create: false}}\n"
    )
    arguments = (
        "link",
        *WHERE,
        "--issuer",
        ISSUER,
        "--helm",
        "prod",
        "--namespace",
        "data",
        "--chart-values",
        str(file),
    )
    assert subjects(run(*arguments, "--json")) == [
        f"system:serviceaccount:data:{account}" for account in ("af-scheduler", "default", "tasks", "af-webserver")
    ]
    said = run(*arguments).err
    assert "'tasks': tasks in pods (workers.serviceAccount.name)" in said
    assert "Warning: 'default' is the service account of every pod" in said
    assert "Assumed" not in said


def test_each_release_has_its_values(run: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"fullnameOverride: full-{name}\nexecutor: LocalExecutor\n")
    files = ("--chart-values", str(tmp_path / "one.yaml"), "--chart-values", str(tmp_path / "two.yaml"))
    arguments = ("--helm", "a", "--astro", "o", "--helm", "b", "--namespace", "data")
    found = subjects(run("link", *WHERE, "--issuer", ISSUER, *arguments, *files, "--json"))
    assert found[0] == "system:serviceaccount:data:full-one-scheduler"
    assert found[-1] == "system:serviceaccount:data:full-two-api-server"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "does not hold values of Airflow's chart"),
        ("workers: many", "workers is 'many'"),
        ("a: b: c", "is not YAML"),
        ("a: !!python/object:os.system {}", "is not YAML"),
    ],
)
def test_values_that_are_none(run: Run, tmp_path: Path, text: str, problem: str) -> None:
    (file := tmp_path / "values.yaml").write_text(text)
    outcome = run(*("link", *WHERE, "--issuer", ISSUER, "--helm", "a", "--namespace", "x", "--chart-values", str(file)))
    assert outcome.code == 2
    assert problem in outcome.err


@pytest.mark.parametrize("account", ["data:one", "system:serviceaccount:data:one"])
def test_a_service_account_as_entras_errors_print_it(run: Run, account: str) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", account, "--json")
    assert subjects(outcome) == ["system:serviceaccount:data:one"]


def test_subjects_of_what_is_no_service_account(run: Run) -> None:
    others = ("spiffe://example.com/airflow", "repo:octo-org/octo-repo:environment:Production")
    named = [argument for subject in others for argument in ("--subject", subject)]
    issuers = ("--issuer", "https://spiffe.example.com", "--issuer", "https://token.actions.githubusercontent.com")
    outcome = run("link", *WHERE, *named, *issuers, "--json")
    assert subjects(outcome) == list(others)


def test_the_default_service_account_is_linked_with_a_warning(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", "data:default")
    assert "system:serviceaccount:data:default" in outcome.out
    assert "Warning: 'default' is the service account of every pod" in outcome.err
    assert "Use a separate service account for Airflow (" in outcome.err
    command = [sys.executable, "-m", "airflow_azure_wi", "link", *WHERE]
    command += ["--issuer", ISSUER, "--service-account", "data:default"]
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    assert shown.index("Warning: ") < shown.index("az identity federated-credential create")
    # As a terminal shows it, line by line: the warning comes first, and the count last.
    assert shown.index("az identity show") < shown.index("1 of 20 ")


def test_the_path_of_the_openid_configuration_is_cut_off(run: Run) -> None:
    configuration = "https://oidc.example.com/x/.well-known/openid-configuration"
    outcome = run("link", *WHERE, "--issuer", configuration, "--service-account", "ns:one")
    assert "--issuer https://oidc.example.com/x " in outcome.out
    assert "The issuer is 'https://oidc.example.com/x': the path of its OpenID configuration was removed" in outcome.err


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        ("https://kubernetes.default.svc.cluster.local", "known only inside"),
        ("https://localhost:6443", "known only inside"),
        ("https://10.0.0.1", "an IP address"),
        ("https://cluster", "a single label"),
        ("http://oidc.example.com", "it is http"),
    ],
)
def test_an_issuer_that_entra_cannot_reach(run: Run, issuer: str, reason: str) -> None:
    outcome = run("link", *WHERE, "--issuer", issuer, "--service-account", "ns:one")
    assert (outcome.code, outcome.out) == (2, "")
    assert reason in outcome.err


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
    assert found["release two in namespace n2"]["subject"] == "system:serviceaccount:n2:two-airflow-scheduler"


def test_the_same_release_on_two_clusters(run: Run) -> None:
    outcome = run(
        *("link", *WHERE, "--json", "--helm", "af", "--helm", "af", "--namespace", "data"),
        *("--issuer", "https://a.example", "--issuer", "https://b.example"),
    )
    issuers = [each["credentials"][0]["issuer"] for each in json.loads(outcome.out)["deployments"]]
    assert issuers == ["https://a.example", "https://b.example"]


def test_the_same_workload_is_linked_once(run: Run) -> None:
    arguments = ("--helm", "af", "--service-account", "af-airflow-worker", "--namespace", "data")
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
    ("name", "audience"),
    [
        ("AzureCloud", AUDIENCE),
        ("azurecloud", AUDIENCE),
        ("AzurePublicCloud", AUDIENCE),
        ("AzureChinaCloud", "api://AzureADTokenExchangeChina"),
    ],
)
def test_a_cloud_has_the_names_of_the_azure_cli(run: Run, name: str, audience: str) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, "--service-account", "ns:one", "--cloud", name, "--json")
    assert f'"{audience}"' in outcome.out


def test_a_cloud_that_is_none(run: Run) -> None:
    outcome = run("link", *WHERE, "--cloud", "AzureGermanCloud")
    assert outcome.code == 2
    assert "expected one of AzurePublicCloud, AzureCloud, AzureUSGovernment, AzureChinaCloud" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--astro", "orbit-1"), "The issuer is missing"),
        (
            ("--astro", "a", "--astro", "b", "--astro", "c", "--issuer", ISSUER, "--issuer", ISSUER),
            "2 issuers are given for 3",
        ),
        (("--helm", "a", "--namespace", "x", "--namespace", "y", "--issuer", ISSUER), "2 times for 1 releases"),
        (("--namespace", "x", "--issuer", ISSUER), "--namespace is given alone"),
        (("--astro", "a", "--issuer", ISSUER, "--json", "--format", "az"), "mutually exclusive"),
        (("--astro", "a", "--issuer", ISSUER, "--application", CLIENT_ID), "mutually exclusive"),
        (("--astro", "a", "--issuer", ISSUER, "--tenant", "contoso.com"), "add --application ID"),
        (("--service-account", "n:a", "--issuer", ISSUER, "--also", "dag-processor"), "add --astro NAMESPACE"),
        (("--astro", "a", "--issuer", ISSUER, "--chart-values", "x.yaml"), "add --helm RELEASE"),
        (("--astro", "a", "--binding"), "add --cluster NAME and --cluster-group GROUP"),
        (("--subject", "", "--issuer", ISSUER), "The subject is ''"),
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
    assert "8 of 20" in outcome.err
    assert "3 more deployments of 4" in outcome.err


FIVE = [argument for name in ("a", "b", "c", "d", "e") for argument in ("--astro", name)]
SIX = [*FIVE, "--astro", "f"]


def test_five_astro_deployments_share_an_identity(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, *FIVE)
    assert outcome.code == 0
    assert "20 of 20" in outcome.err


def test_beyond_the_limit_nothing_runs_and_the_ways_out_are_shown(run: Run, az: FakeAz) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, *SIX)
    assert outcome.code == 3
    assert not outcome.out
    assert "need 24 federated identity credentials" in outcome.err
    assert "az identity create --name astrodemoid-2 --resource-group DemoGroup" in outcome.err
    assert "az aks identity-binding create" in outcome.err


def test_each_proposed_command_fits_its_identity(run: Run) -> None:
    outcome = run("link", *WHERE, "--issuer", ISSUER, *SIX, "--audience", "api://own", "--json")
    assert outcome.code == 3
    shares = json.loads(outcome.out)["proposal"]["identities"]
    linked: list[Any] = []
    for share in shares:
        command = share["commands"][-1]
        assert command.endswith(" | sh")
        again = run(*shlex.split(command.removesuffix(" | sh"))[1:], "--json")
        assert again.code == 0
        assert json.loads(again.out)["identity"]["name"] == share["identity"]["name"]
        assert "api://own" in again.out
        linked += subjects(again)
    assert len(linked) == len(set(linked)) == 24


def manifests_of(script: str) -> list[Any]:
    return list(yaml.safe_load_all(script.split("<<EOF\n")[1].split("\nEOF\n")[0]))


def test_the_proposed_binding_is_a_script_and_two_manifests(run: Run) -> None:
    proposal = json.loads(run("link", *WHERE, "--issuer", ISSUER, *SIX, "--json").out)["proposal"]
    script = proposal["identityBinding"]
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    manifests = manifests_of(script)
    assert manifests[0]["rules"] == [
        {"verbs": ["use-managed-identity"], "apiGroups": ["cid.wi.aks.azure.com"], "resources": ["$CLIENT_ID"]}
    ]
    assert len(manifests[1]["subjects"]) == 24


def test_a_binding_needs_no_issuer_and_is_complete(run: Run) -> None:
    cluster = ("--binding", "--cluster", "my-cluster", "--cluster-group", "clusters")
    outcome = run("link", *WHERE, "--helm", "prod", "--namespace", "airflow", *cluster)
    assert outcome.code == 0
    assert "--cluster-name my-cluster" in outcome.out
    assert "--resource-group clusters" in outcome.out
    for part in (
        'azure.workload.identity/use-identity-binding: "true"',
        'azure.workload.identity/use: "true"',
        "AIRFLOW__AZURE_WORKLOAD_IDENTITY__IDENTITY_BINDING=True",
    ):
        assert part in outcome.out
    assert {"kind": "ServiceAccount", "namespace": "airflow", "name": "prod-airflow-worker"} in manifests_of(
        outcome.out
    )[1]["subjects"]
    assert json.loads(run("link", *WHERE, "--astro", "a", *cluster, "--json").out)["identityBinding"]
