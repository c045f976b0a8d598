"""The pytest plugin as pytest loads it in somebody else's project, in processes of their own."""

import subprocess
import sys
from pathlib import Path

SETTINGS = """
[pytest]
azure_workload_identity_conn_ids = lake data-warehouse
azure_workload_identity_accounts = sales archive
"""

CONFTEST = """
import os, sys

BEFORE = dict(os.environ)

def pytest_sessionstart(session):
    session.config.loaded_at_start = set(sys.modules)
"""

# It signs in without a hook, and so without Airflow, which would take longer to import than all else here together.
PROJECT = """
import asyncio
import json
import os
import time
from contextlib import nullcontext

import pytest
from conftest import BEFORE

HEAVY = {"airflow", "azure", "msal", "starlette", "uvicorn", "trustme", "jwt", "aiohttp", "requests", "cryptography"}
SEEN = set()


def test_next_to_nothing_was_loaded_when_pytest_started(pytestconfig):
    loaded = pytestconfig.loaded_at_start
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    ours = {name for name in loaded if name.startswith("airflow_azure_wi")}
    assert ours == {"airflow_azure_wi", "airflow_azure_wi.pytest_plugin"}


def credential():
    from airflow_azure_wi.auth import credential_for
    from airflow_azure_wi.deployment import Deployment
    from airflow_azure_wi.identity import WorkloadIdentity

    connection = json.loads(os.environ["AIRFLOW_CONN_LAKE"])
    who = WorkloadIdentity.from_extra(json.dumps(connection["extra"]), source="lake", environment={})
    return credential_for(who, Deployment.of(os.environ), used_by="a test")


def sign_in():
    return credential().get_token("https://storage.azure.com/.default").token


BREAK = [
    lambda workload: workload.remove_federated_credential(),
    lambda workload: workload.change_federated_credential(audience="api://other"),
    lambda workload: workload.expire_federated_token(),
    lambda workload: workload.set_cluster_clock_ahead(),
    lambda workload: workload.remove_federated_token(),
    lambda workload: workload.throttle(times=100, retry_after=60),
    lambda workload: workload.refuse("AADSTS53003", times=100),
]


@pytest.mark.parametrize("broken", [broken for way in BREAK for broken in (way, None)])
def test_what_one_test_breaks_is_not_there_in_the_next(azure_workload_identity, broken):
    assert azure_workload_identity.exchanges == []
    assert azure_workload_identity.identity.client_id not in SEEN
    SEEN.add(azure_workload_identity.identity.client_id)
    if broken is None:
        assert sign_in()
        assert [exchange.error_code for exchange in azure_workload_identity.exchanges] == [None]
    else:
        broken(azure_workload_identity)
        with pytest.raises(Exception, match="AADSTS|federated token|HTTP 429"):
            sign_in()


@pytest.mark.parametrize("account", ["sales", "archive", "sales", "archive"])
def test_storage_is_empty(azure_workload_identity, account):
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient(f"https://{account}.blob.core.windows.net", credential=credential())
    assert list(service.list_containers()) == []
    service.create_container("reports").upload_blob("it.txt", b"it")


@pytest.mark.parametrize("broken", [True, False])
def test_a_role_that_one_test_takes_is_there_in_the_next(azure_workload_identity, broken):
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobServiceClient

    if broken:
        azure_workload_identity.remove_role_assignment()
    service = BlobServiceClient("https://sales.blob.core.windows.net", credential=credential())
    with pytest.raises(HttpResponseError, match="Mismatch") if broken else nullcontext():
        service.create_container("reports")


@pytest.mark.parametrize("served", [True, False])
def test_what_one_test_serves_is_gone_in_the_next(azure_workload_identity, served):
    import requests
    from starlette.responses import Response

    if served:
        azure_workload_identity.serve(Response("it"), "my-vault.vault.azure.net")
    with nullcontext() if served else pytest.raises(requests.exceptions.ProxyError, match="403"):
        assert requests.get("https://my-vault.vault.azure.net", timeout=10).text == "it"


def test_another_account_is_refused_at_once_and_the_setting_is_named(azure_workload_identity):
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient("https://other.blob.core.windows.net", credential=credential())
    begun = time.monotonic()
    with pytest.raises(HttpResponseError, match="(?s)no storage account 'other'.*azure_workload_identity_accounts"):
        service.create_container("reports")
    assert time.monotonic() - begun < 10


def test_the_connections_are_those_of_the_project(azure_workload_identity):
    assert azure_workload_identity.conn_id == "lake"
    connections = {name for name in os.environ if name.startswith("AIRFLOW_CONN_")}
    assert connections == {"AIRFLOW_CONN_LAKE", "AIRFLOW_CONN_DATA-WAREHOUSE"}


def test_a_test_that_changes_the_environment_itself(monkeypatch, azure_workload_identity):
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "{}")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "mine")


def test_a_developer_does_not_sign_in_instead(developer, azure_workload_identity):
    from azure.identity import DefaultAzureCredential

    assert DefaultAzureCredential(
        workload_identity_client_id=azure_workload_identity.identity.client_id,
        workload_identity_tenant_id=azure_workload_identity.identity.tenant_id,
    ).get_token("https://storage.azure.com/.default").token
    assert "AZURE_CLIENT_SECRET" not in os.environ


@pytest.fixture
def developer(monkeypatch):
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.setenv(name, "00000000-0000-0000-0000-000000000000")


def test_without_the_fixture_all_is_as_before():
    from aiohttp import connector

    changed = {name for name in BEFORE | os.environ if BEFORE.get(name) != os.environ.get(name)}
    assert {name for name in changed if not name.startswith("PYTEST_")} == set()
    assert "offline Azure" not in str(connector._SSL_CONTEXT_VERIFIED.get_ca_certs())
"""

WITHOUT_THE_EXTRA = """
import sys
sys.modules["trustme"] = None
"""

OTHER_TESTS = """
def test_that_has_nothing_to_do_with_azure():
    pass

def test_of_a_dag(azure_workload_identity):
    pass
"""


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=250)


def test_somebody_elses_project(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(PROJECT)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 28 passed" in done.stdout


def test_without_the_extra_only_the_fixture_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text(WITHOUT_THE_EXTRA)
    (tmp_path / "test_it.py").write_text(OTHER_TESTS)
    done = run_pytest(tmp_path)
    assert " 1 passed, 1 error" in done.stdout
    assert "needs the package trustme" in done.stdout
    assert "pip install 'airflow-azure-wi[testing]'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
