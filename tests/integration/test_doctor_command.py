"""``airflow-azure-wi doctor`` as a person runs it, in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.fake_az import FakeAz

Doctor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def doctor(workload: OfflineAzure, identity: ManagedIdentity, tmp_path: Path) -> Doctor:
    """Run the command as the workload, whose environment names the identity."""

    def doctor(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = dict(os.environ) | {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": identity.tenant_id,
        }
        done = subprocess.run(
            [sys.executable, "-m", "airflow_azure_wi", "doctor", *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "eyJ" not in done.stdout + done.stderr
        return done

    return doctor


def test_the_environment_alone(doctor: Doctor, identity: ManagedIdentity) -> None:
    done = doctor()
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "Examining the environment"
    assert f"\nSigned in as {identity.client_id}" in done.stdout
    assert "Roles are not checked" in done.stdout
    assert "\x1b" not in done.stdout
    # Only what is there to be copied may be wider than a terminal.
    assert all(len(line) <= 80 or len(line.split()[-1]) > 50 for line in lines)


def test_what_is_proposed_fixes_a_refusal(doctor: Doctor, identity: ManagedIdentity) -> None:
    identity.remove_credential("worker")
    done = doctor("--identity-name", identity.name, "--resource-group", identity.resource_group)
    assert done.returncode == 1
    assert not done.stderr
    assert done.stdout.splitlines()[-1].startswith(
        f"az identity federated-credential create --identity-name {identity.name} --resource-group "
    )


def test_json_for_programs_and_nothing_else(doctor: Doctor, identity: ManagedIdentity) -> None:
    connection = {"conn_type": "azure_workload_identity", "extra": identity.as_json()}
    done = doctor("azure_wi", "--json", AIRFLOW_CONN_AZURE_WI=json.dumps(connection), AZURE_CLIENT_ID="")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["about"] == "connection 'azure_wi'"
    assert report["ok"]
    assert report["signedIn"].startswith(f"Signed in as {identity.client_id}")
    assert [check["name"] for check in report["checks"] if check["status"] != "ok"] == []


def test_an_unknown_connection(doctor: Doctor) -> None:
    done = doctor("absent")
    assert done.returncode == 2
    assert not done.stdout
    assert "Airflow finds no connection 'absent'" in done.stderr
    # No database has been made here, as on a worker of Airflow 3.
    assert "its database cannot be read from here (OperationalError: no such table" in done.stderr
    assert "azure_workload_identity_preflight" in done.stderr


def test_a_connection_that_a_database_lacks(doctor: Doctor, unused_database: Path, tmp_path: Path) -> None:
    (tmp_path / "airflow").mkdir()
    shutil.copy(unused_database, tmp_path / "airflow" / "airflow.db")
    done = doctor("absent")
    assert done.returncode == 2
    assert "Airflow has no connection 'absent'" in done.stderr
    assert "airflow connections list" in done.stderr
    assert "preflight" not in done.stderr


@pytest.mark.parametrize("arguments", [("TOKEN",), ("--subscription", "TOKEN"), ("--scope", "TOKEN")])
def test_a_token_in_place_of_an_argument_is_not_repeated(doctor: Doctor, arguments: tuple[str, ...]) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    # The fixture looks for it.
    assert doctor(*[argument.replace("TOKEN", token) for argument in arguments]).returncode in (1, 2)


def test_half_a_name_is_refused(doctor: Doctor) -> None:
    done = doctor("--identity-name", "airflow", "--json")
    assert done.returncode == 2
    assert "go together" in json.loads(done.stdout)["problems"][0]


def test_from_link_to_signing_in(doctor: Doctor, identity: ManagedIdentity, tmp_path: Path) -> None:
    """The whole way: link, az, connection, doctor."""
    from airflow_azure_wi.testing import FederatedIdentityCredential

    identity.remove_credential("worker")
    az = FakeAz(tmp_path / "bin", identity.as_json())
    program = f"{sys.executable} -m airflow_azure_wi"
    line = (
        f"{program} link --identity-name {identity.name} --resource-group {identity.resource_group} | bash "
        f"| {program} connection - --conn-id azure_wi --format env"
    )
    assignment = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=dict(os.environ) | az.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for created in az.credentials:
        identity.add_credential(
            FederatedIdentityCredential(
                created["name"], created["issuer"], created["subject"], tuple(created["audiences"])
            )
        )
    name, value = assignment.strip().split("=", 1)
    done = doctor("azure_wi", AZURE_CLIENT_ID="", AZURE_TENANT_ID="", **{name: value.strip("'")})
    assert done.returncode == 0, done.stdout
