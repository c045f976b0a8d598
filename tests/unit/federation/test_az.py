"""The command at the end of the doctor's report, run by plain sh."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_azure_wi.federation import FederatedIdentityCredential, IdentityResource
from airflow_azure_wi.federation.az import link_command
from tests.fake_az import SUBSCRIPTION, FakeAz

SUBJECT = "system:serviceaccount:airflow:airflow-worker"
CREDENTIAL = FederatedIdentityCredential.of("https://oidc.example.com/", SUBJECT, "api://AzureADTokenExchange")
CLIENT = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"
ELSEWHERE = "11111111-1111-1111-1111-111111111111"
SHELLS = ["sh", "dash", "bash"]


@pytest.fixture
def az(tmp_path: Path) -> FakeAz:
    return FakeAz(tmp_path / "bin", {"name": "airflow", "resourceGroup": "data-(1)", "clientId": CLIENT})


def run(command: str, az: FakeAz, shell: str = "sh") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([shell], input=f"{command}\necho goes on\n", env=az.environment(), **TEXT, check=False)
    # A pasted command ends no shell.
    assert done.stdout.endswith("goes on\n")
    return done


TEXT: dict[str, bool] = {"capture_output": True, "text": True}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("subscription", [None, SUBSCRIPTION])
@pytest.mark.parametrize("may_exist", [False, True])
def test_an_identity_is_found_by_its_client_id(
    az: FakeAz, shell: str, subscription: str | None, may_exist: bool
) -> None:
    command = link_command(CREDENTIAL, client_id=CLIENT, subscription_id=subscription, may_exist=may_exist)
    done = run(command, az, shell)
    assert done.stderr == ""
    [created] = az.credentials
    assert (created["name"], created["issuer"], created["subject"], created["audiences"]) == (
        *(CREDENTIAL.name, CREDENTIAL.issuer, CREDENTIAL.subject),
        [CREDENTIAL.audience],
    )
    given = [call[call.index("--subscription") + 1] if "--subscription" in call else None for call in az.calls]
    assert given == [subscription] * len(given)


@pytest.mark.parametrize("named", [True, False])
def test_a_credential_of_another_name_is_replaced(az: FakeAz, named: bool) -> None:
    az.add("by-hand", CREDENTIAL.issuer, CREDENTIAL.subject, "api://other")
    resource = IdentityResource("airflow", "data-(1)") if named else None
    run(link_command(CREDENTIAL, client_id=CLIENT, resource=resource, may_exist=True), az)
    assert [(each["name"], each["audiences"]) for each in az.credentials] == [("by-hand", [CREDENTIAL.audience])]


def test_an_identity_that_is_not_found_is_said_with_the_subscription(az: FakeAz) -> None:
    done = run(link_command(CREDENTIAL, client_id=ELSEWHERE), az)
    assert f"No managed identity has the client id {ELSEWHERE} in subscription Data.\n" in done.stderr
    assert "az account set --subscription" in done.stderr
    done = run(link_command(CREDENTIAL, client_id=CLIENT, subscription_id=ELSEWHERE), az)
    assert f"No managed identity has the client id {CLIENT} in subscription {ELSEWHERE}.\n" in done.stderr
    assert "--subscription" in done.stderr
    assert done.stderr.endswith(
        f"If it is an application: airflow-azure-wi link --application {CLIENT} --issuer https://oidc.example.com/ "
        f"--subject {SUBJECT} | sh\n"
    )
    assert az.credentials == []


def test_where_the_identity_is_known_the_subscription_of_the_connection_counts(az: FakeAz) -> None:
    resource = IdentityResource("airflow", "data-(1)")
    run(link_command(CREDENTIAL, client_id=CLIENT, resource=resource, subscription_id=SUBSCRIPTION), az)
    own = replace(resource, subscription_id=ELSEWHERE)
    run(link_command(CREDENTIAL, client_id=CLIENT, resource=own, subscription_id=SUBSCRIPTION), az)
    assert [call[call.index("--subscription") + 1] for call in az.calls] == [SUBSCRIPTION, ELSEWHERE]


def test_it_can_be_pasted_into_any_shell() -> None:
    for may_exist in (False, True):
        command = link_command(CREDENTIAL, client_id=CLIENT, may_exist=may_exist)
        assert not re.search(r"[\t!]|<\(|\[\[|exit", command)
