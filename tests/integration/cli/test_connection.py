"""What ``connection`` prints, read back as Airflow and its platforms read it."""

import io
import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_azure_wi.identity import WorkloadIdentity
from tests.integration.cli.conftest import DATA, Run

AZ = DATA / "az-identity-create.json"
US_GOVERNMENT = {
    "clientId": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
    "tenantId": "contoso.onmicrosoft.us",
    "cloud_environment": "AzureUSGovernment",
}
CONNECTION_ID = "azure_wi"


def connection_of(**values: Any) -> Any:
    from airflow.models.connection import Connection

    return Connection(conn_id=CONNECTION_ID, **values)


def from_environment(variable: str, value: str) -> Any:
    """Ask Airflow for the connection as a task would."""
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, value)
        return EnvironmentVariablesBackend().get_connection(CONNECTION_ID)


def read_env(text: str) -> Any:
    name = text.split("=")[0]
    value = subprocess.run(
        ["bash", "-c", f'{text}printf %s "${name}"'], env={}, capture_output=True, check=True, text=True
    ).stdout
    return from_environment(name, value)


def read_json(text: str) -> Any:
    from airflow.models.connection import Connection

    return Connection.from_json(text, conn_id=CONNECTION_ID)


def read_uri(text: str) -> Any:
    connection = connection_of(uri=text.strip())
    assert connection.get_uri() == text.strip()
    return connection


def read_cli(text: str) -> Any:
    from airflow.cli.cli_parser import get_parser

    arguments = get_parser().parse_args(shlex.split(text)[1:])
    assert arguments.conn_id == CONNECTION_ID
    return connection_of(conn_type=arguments.conn_type, extra=arguments.conn_extra)


def read_airflow_settings(text: str) -> Any:
    (connection,) = yaml.safe_load(text)["airflow"]["connections"]
    assert connection.pop("conn_id") == CONNECTION_ID
    assert connection.keys() == {"conn_type", "conn_extra"}
    return connection_of(conn_type=connection["conn_type"], extra=json.dumps(connection["conn_extra"]))


def read_kubernetes(text: str) -> Any:
    secret = yaml.safe_load(text)
    assert secret["kind"] == "Secret"
    assert "AIRFLOW_CONN_AZURE_WI: '{" in text
    assert text.rstrip().endswith("}}'")
    assert secret["metadata"]["name"] == "airflow-connection-azure-wi"
    ((name, value),) = secret["stringData"].items()
    return from_environment(name, value)


READERS: dict[str, Callable[[str], Any]] = {
    "env": read_env,
    "json": read_json,
    "uri": read_uri,
    "cli": read_cli,
    "airflow-settings": read_airflow_settings,
    "kubernetes": read_kubernetes,
}


@pytest.mark.parametrize(
    "printed_by_az",
    [AZ.read_text(), json.dumps(US_GOVERNMENT)],
    ids=["sample", "US Government"],
)
@pytest.mark.parametrize("output_format", READERS)
def test_airflow_reads_the_same_identity_back(run: Run, tmp_path: Path, output_format: str, printed_by_az: str) -> None:
    (file := tmp_path / "identity.json").write_text(printed_by_az)
    outcome = run("connection", str(file), "--conn-id", CONNECTION_ID, "--format", output_format)
    assert outcome.code == 0, outcome.err
    connection = READERS[output_format](outcome.out)
    assert connection.conn_type == "azure_workload_identity"
    expected = WorkloadIdentity.from_extra(printed_by_az, source="az", environment={})
    assert WorkloadIdentity.from_extra(connection.extra, source="Airflow", environment={}) == expected


def test_what_az_prints_may_be_piped_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(AZ.read_text()))
    assert run("connection").out.startswith("AIRFLOW_CONN_AZURE_WORKLOAD_IDENTITY_DEFAULT='{")


def test_the_cloud_is_given_where_az_does_not_print_it(run: Run) -> None:
    outcome = run("connection", str(AZ), "--cloud", "AzureChinaCloud", "--json")
    assert json.loads(outcome.out)["extra"]["cloud_environment"] == "AzureChinaCloud"


def test_a_list_of_one_identity_will_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"[{AZ.read_text()}]"))
    assert "6f3c0f9e" in run("connection", "--json").out


def test_the_command_keeps_an_id_that_looks_like_an_option(run: Run) -> None:
    outcome = run("connection", str(AZ), "--conn-id=-x", "--format", "cli")
    from airflow.cli.cli_parser import get_parser

    assert get_parser().parse_args(shlex.split(outcome.out)[1:]).conn_id == "-x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("{", "it is not JSON"),
        ("[]", "it holds 0 identities"),
        ("[{}, {}]", "it holds 2 identities"),
        ('"x"', "it holds no JSON object"),
        ("{}", "tenantId is missing"),
        ('{"clientId": "x", "tenantId": "contoso.com"}', "clientId is 'x', expected a GUID"),
    ],
)
def test_what_is_no_identity_is_explained(run: Run, monkeypatch: pytest.MonkeyPatch, text: str, problem: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    outcome = run("connection", "-")
    assert outcome.code == 2
    assert not outcome.out
    assert "standard input does not describe a workload identity" in outcome.err
    assert problem in outcome.err
    assert "az identity" in outcome.err


@pytest.mark.parametrize(
    ("connection_id", "output_format"),
    [
        ("$(reboot)", "env"),
        ("a b", "json"),
        ("x" * 251, "json"),
        ("", "cli"),
        ("azure-wi", "env"),
        ("a.b", "kubernetes"),
    ],
)
def test_an_id_that_cannot_be_is_explained(run: Run, connection_id: str, output_format: str) -> None:
    outcome = run("connection", str(AZ), f"--conn-id={connection_id}", "--format", output_format)
    assert outcome.code == 2
    assert not outcome.out
    assert f"The connection id is {connection_id!r}" in outcome.err


def test_a_missing_file_is_named(run: Run) -> None:
    outcome = run("connection", "absent.json")
    assert outcome.code == 2
    assert "'absent.json' cannot be read: No such file or directory" in outcome.err
