"""What ``connection`` prints, read back as Airflow and its platforms read it."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_azure_wi.identity import WorkloadIdentity, is_stock_workload_identity
from airflow_azure_wi.redaction import quoted
from tests.integration.cli.conftest import DATA, Pipe, Run

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


@pytest.mark.parametrize("output_format", READERS)
def test_a_stock_connection_is_the_one_that_astro_makes(run: Run, output_format: str) -> None:
    outcome = run("connection", str(AZ), "--conn-id", CONNECTION_ID, "--stock", "--format", output_format)
    assert outcome.code == 0, outcome.err
    connection = READERS[output_format](outcome.out)
    assert (connection.conn_type, connection.extra_dejson) == (
        "azure",
        {
            "managed_identity_client_id": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
            "workload_identity_tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
            "subscriptionId": "0b1f6471-1bf0-4dda-aec3-cb9272f09590",
        },
    )
    assert is_stock_workload_identity(connection)


def test_what_az_prints_may_be_piped_in(run: Run, pipe: Pipe) -> None:
    pipe(AZ.read_text())
    assert run("connection").out.startswith("AIRFLOW_CONN_AZURE_WORKLOAD_IDENTITY_DEFAULT='{")


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
CLIENT, TENANT = "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10", "72f988bf-86f1-41af-91ab-2d7cd011db47"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
PRINTED = {
    # https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities/get, and az resource show
    "REST API": {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourcegroups/data/providers/Microsoft.ManagedIdentity"
        "/userAssignedIdentities/airflow",
        "location": "westeurope",
        "name": "airflow",
        "properties": {"clientId": CLIENT, "principalId": TENANT, "tenantId": TENANT},
        "tags": {},
    },
    # Get-AzUserAssignedIdentity | ConvertTo-Json
    "PowerShell": {
        "ClientId": CLIENT,
        "Id": f"/subscriptions/{SUBSCRIPTION}/resourcegroups/data/providers/Microsoft.ManagedIdentity/x/airflow",
        "IsolationScope": None,
        "TenantId": TENANT,
    },
    # terraform output -json
    "Terraform": {
        "client_id": {"sensitive": False, "type": "string", "value": CLIENT},
        "subscription_id": {"sensitive": False, "type": "string", "value": SUBSCRIPTION},
        "tenant_id": {"sensitive": False, "type": "string", "value": TENANT},
    },
    # az deployment group show
    "Bicep": {
        "id": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/data/providers/x",
        "properties": {
            "outputs": {
                "clientId": {"type": "String", "value": CLIENT},
                "subscriptionId": {"type": "String", "value": SUBSCRIPTION},
                "tenantId": {"type": "String", "value": TENANT},
            },
        },
    },
}


@pytest.mark.parametrize("printed", PRINTED.values(), ids=PRINTED)
def test_what_other_tools_print_becomes_the_three_keys(run: Run, pipe: Pipe, printed: dict[str, Any]) -> None:
    pipe(json.dumps(printed))
    outcome = run("connection", "--json")
    extra = {"clientId": CLIENT, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}
    assert json.loads(outcome.out) == {"conn_type": "azure_workload_identity", "extra": extra}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("before", ["", "WARNING: The behavior of this command has changed.\r\n[WARNING] x {y}\r\n"])
def test_a_file_of_any_shell_will_do(run: Run, pipe: Pipe, tmp_path: Path, encoding: str, before: str) -> None:
    data = (before + AZ.read_text().replace("\n", "\r\n")).encode(encoding)
    (file := tmp_path / "identity.json").write_bytes(data)
    expected = run("connection", str(AZ)).out
    assert run("connection", str(file)).out == expected
    pipe(data)
    assert run("connection").out == expected


@pytest.mark.parametrize(
    ("location", "cloud"), [("usgovvirginia", "AzureUSGovernment"), ("China North 3", "AzureChinaCloud")]
)
def test_the_region_gives_the_cloud(run: Run, pipe: Pipe, location: str, cloud: str) -> None:
    pipe(json.dumps(json.loads(AZ.read_text()) | {"location": location}))
    extra = json.loads(run("connection", "--json").out)["extra"]
    assert extra["cloud_environment"] == cloud
    assert list(extra) == ["clientId", "tenantId", "subscriptionId", "cloud_environment"]


@pytest.mark.parametrize(
    "arguments", [(TOKEN,), (str(AZ), "--conn-id", f"{TOKEN}$"), (str(AZ), "--format", "cli", "--conn-id", TOKEN)]
)
def test_a_token_in_place_of_an_argument_is_not_repeated(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run("connection", *arguments)
    assert outcome.code == 2
    assert "looks like a token" in outcome.err
    assert "eyJ" not in outcome.out + outcome.err


def test_an_argument_that_argparse_refuses_is_not_repeated_either(run: Run) -> None:
    for arguments in (("--format", TOKEN), ("--cloud", TOKEN), ("x", TOKEN), (f"--{TOKEN}",)):
        outcome = run("connection", *arguments)
        assert outcome.code == 2
        assert "eyJ" not in outcome.out + outcome.err, arguments


def test_the_cloud_is_given_where_az_does_not_print_it(run: Run) -> None:
    outcome = run("connection", str(AZ), "--cloud", "AzureChinaCloud", "--json")
    assert json.loads(outcome.out)["extra"]["cloud_environment"] == "AzureChinaCloud"


def test_a_list_of_one_identity_will_do(run: Run, pipe: Pipe) -> None:
    pipe(f"[{AZ.read_text()}]")
    assert "6f3c0f9e" in run("connection", "--json").out
    pipe(f'{{"value": [{AZ.read_text()}]}}')
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
        ("clientId: 6f3c0f9e", "it is not JSON"),
        ('[{"clientId": "x"},\n{"clientId": ', "it is not JSON"),
        ('{"a": ' * 20_000, "it is not JSON"),
        ("{}\n{}", "it holds more than one JSON text"),
        ("[]", "it holds 0 identities"),
        ("[{}, {}]", "it holds 2 identities"),
        ('"x"', "it holds no JSON object"),
        ("{}", "tenantId is missing"),
        ('{"clientId": "x", "tenantId": "contoso.com"}', "clientId is 'x', expected a GUID"),
    ],
)
def test_what_is_no_identity_is_explained(run: Run, pipe: Pipe, text: str | bytes, problem: str) -> None:
    pipe(text)
    outcome = run("connection", "-")
    assert outcome.code == 2
    assert not outcome.out
    assert "standard input does not describe a workload identity" in outcome.err
    assert problem in outcome.err
    assert "az identity" in outcome.err
    assert "AZURE_" not in outcome.err


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
    assert f"The connection id is {quoted(connection_id)}" in outcome.err


def test_a_missing_file_is_named(run: Run) -> None:
    outcome = run("connection", "absent.json")
    assert outcome.code == 2
    assert "'absent.json' cannot be read: No such file or directory" in outcome.err
