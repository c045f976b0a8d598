"""Airflow's own database with access tokens: what a connection says of a mistake, and that it waits for a token."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from tests.airflow_program import Airflow, variables_of
from tests.federated_token import FederatedToken
from tests.postgresql import PostgresqlServer

ROLE, DATABASE = "airflow", "airflow"
OPTION = "AIRFLOW__AZURE_WORKLOAD_IDENTITY__DATABASE_{}"

# Whatever is wrong, Airflow can be imported; the connection says what it is.
CONNECT = """
import json
import os
import sys

from airflow import settings
from sqlalchemy import create_engine, exc

from airflow_azure_wi import airflow_compat

for url, variables in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ.update(variables)
    airflow_compat.start_over()
    try:
        create_engine(url).connect()
        said = "connected"
    except exc.OperationalError as error:
        said = str(error)
    os.environ.clear()
    os.environ.update(before)
    print(json.dumps({"said": said}))
"""


@pytest.fixture(scope="module")
def airflow(
    running_azure: OfflineAzure, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Airflow:
    postgresql.create_role(ROLE, running_azure.identity, DATABASE)
    home = tmp_path_factory.mktemp("airflow")
    return Airflow(variables_of(home, home) | postgresql.of_airflow(running_azure, ROLE, DATABASE))


def attempts(airflow: Airflow, *cases: tuple[str, dict[str, str]], **variables: str) -> list[str]:
    """Connect to URLs, each with further environment variables, in one process; return what was said."""
    printed = airflow.python(CONNECT, json.dumps(cases), **variables)
    assert "eyJ" not in printed
    lines = [json.loads(line)["said"] for line in printed.splitlines() if line.startswith('{"said"')]
    return [" ".join(said.split()) for said in lines]


MISTAKES = (
    ({"AZURE_CLIENT_ID": ""}, "clientId is missing"),
    ({"AZURE_CLIENT_ID": ""}, "set [azure_workload_identity] database_client_id and database_tenant_id, or AZURE_"),
    ({OPTION.format("TENANT_ID"): "x y"}, "tenantId is 'x y'"),
    (
        {OPTION.format("CLIENT_ID"): "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.x"},
        "clientId is something that looks like a t",
    ),
    ({"AZURE_FEDERATED_TOKEN_FILE": "/nowhere"}, "'/nowhere' (from the environment variable AZURE_FEDERATED_TOKEN"),
    (
        {OPTION.format("CLIENT_ID"): "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10"},
        "Airflow's database with [azure_workload_identity] database_client_id (client id 6f3c0f9e-",
    ),
)


def test_a_mistake_is_said_by_the_connection(airflow: Airflow, postgresql: PostgresqlServer) -> None:
    url = postgresql.url(ROLE, DATABASE)
    before = len(postgresql.sign_ins)
    for (_, expected), said in zip(MISTAKES, attempts(airflow, *((url, each) for each, _ in MISTAKES)), strict=True):
        assert said.startswith("(psycopg2.OperationalError) no access token for Airflow's database")
        assert expected in said
    [said] = attempts(airflow, (url, {}), **{OPTION.format("SIGN_IN"): "maybe"})
    assert "[azure_workload_identity] database_sign_in is 'maybe', expected True or False." in said
    assert len(postgresql.sign_ins) == before


def test_a_scheduler_that_starts_without_a_federated_token_says_so_and_ends(airflow: Airflow) -> None:
    done = airflow.run("scheduler", "--skip-serve-logs", check=False, AZURE_FEDERATED_TOKEN_FILE="/nowhere")
    said = done.stdout + done.stderr
    assert done.returncode, said
    assert "no access token for Airflow's database ([azure_workload_identity] database_sign_in)" in said
    # In a warning of Airflow's, and in the error that ends it, with its cause.
    assert said.count("'/nowhere' (from the environment variable AZURE_FEDERATED_TOKEN_FILE) does not exist") == 3, said
    assert WAITING not in said


def test_a_token_is_sent_over_tls_alone(airflow: Airflow, postgresql: PostgresqlServer) -> None:
    url = postgresql.url(ROLE, DATABASE)
    silent = url.partition("?")[0]
    prefers, disabled, required = attempts(
        airflow,
        (postgresql.url(ROLE, DATABASE, sslmode="prefer"), {}),
        (silent, {"PGSSLMODE": "disable"}),
        (silent, {}),
    )
    assert "sslmode='prefer', and an access token is sent only over TLS. Say sslmode=require there" in prefers
    assert "sslmode='disable', and an access token is sent only over TLS" in disabled
    assert required == "connected"


def test_users_that_no_setting_names_get_no_token(
    airflow: Airflow, postgresql: PostgresqlServer, running_azure: OfflineAzure
) -> None:
    postgresql.create_role("celery", running_azure.identity, "celery")
    own, celery = postgresql.url(ROLE, DATABASE), postgresql.url("celery", "celery")
    backend = {"AIRFLOW__CELERY__RESULT_BACKEND": f"db+{celery.replace('+psycopg2', '')}"}
    other = postgresql.url("somebody", DATABASE)
    said = attempts(airflow, (own, {}), (celery, {}), (other, {}), **backend)
    assert said[:2] == ["connected", "connected"]
    assert "no password supplied" in said[2]
    assert "somebody" not in {each.role for each in postgresql.sign_ins}


def test_the_options_override_the_identity_of_the_pod(
    airflow: Airflow, postgresql: PostgresqlServer, running_azure: OfflineAzure
) -> None:
    other = ManagedIdentity(tenant_id=running_azure.identity.tenant_id)
    for trusted in running_azure.identity.federated_credentials:
        other.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
    running_azure.entra.register(other)
    pod = {"AZURE_CLIENT_ID": other.client_id, "AZURE_TENANT_ID": other.tenant_id}
    own = running_azure.identity
    options = {OPTION.format("CLIENT_ID"): own.client_id, OPTION.format("TENANT_ID"): own.tenant_id}
    url = postgresql.url(ROLE, DATABASE)
    of_pod, of_options = attempts(airflow, (url, pod), (url, pod | options))
    assert "authentication failed" in of_pod
    assert (
        f"asked for role '{ROLE}' with an access token of client id {other.client_id} (from AZURE_CLIENT_ID)" in of_pod
    )
    assert of_options == "connected"
    assert [each.refused for each in postgresql.sign_ins[-2:]] == [
        "the token is for another principal than the role",
        None,
    ]


# Connects whenever it is told to, when the token of the time before has expired.
RECONNECT = """
import asyncio
import logging
import sys
import time

from airflow import settings
from sqlalchemy import create_engine, exc, pool
from sqlalchemy.ext.asyncio import create_async_engine

from airflow_azure_wi.bridge import database

logging.getLogger("airflow_azure_wi").addHandler(logging.StreamHandler(sys.stdout))
database.WAIT_SECONDS = 4.0
engine = create_engine(sys.argv[1], poolclass=pool.NullPool)
async_engine = create_async_engine(sys.argv[1].replace("psycopg2", "asyncpg"), poolclass=pool.NullPool)

async def connect():
    async with async_engine.connect():
        pass

for how in sys.stdin:
    time.sleep(2.2)
    try:
        asyncio.run(connect()) if how == "async\\n" else engine.connect().close()
        print("> connected", flush=True)
    except exc.OperationalError as error:
        print(error)
        print("> refused", flush=True)
"""


WAITING = "New connections to Airflow's database wait"


class Reconnecting:
    """A process that connects, and prints whether it could."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def connect(self, how: str = "sync") -> None:
        assert self._process.stdin
        print(how, file=self._process.stdin, flush=True)

    def outcome(self) -> list[str]:
        """Return what was logged, and at the end how connecting ended."""
        return self._lines_until("> ")

    def waits(self) -> list[str]:
        """Return what was logged until it waits."""
        return self._lines_until("> ", WAITING)

    def _lines_until(self, *beginnings: str) -> list[str]:
        assert self._process.stdout
        lines = []
        for line in self._process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(beginnings):
                return lines
        pytest.fail("\n".join(lines))


@pytest.fixture
def short_lived(
    airflow: Airflow, running_azure: OfflineAzure, postgresql: PostgresqlServer, tmp_path: Path
) -> Iterator[tuple[Reconnecting, FederatedToken]]:
    """A process whose access tokens live two seconds, and its federated token."""
    identity = ManagedIdentity(tenant_id=running_azure.identity.tenant_id, access_token_lifetime=2)
    for trusted in running_azure.identity.federated_credentials:
        identity.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
    running_azure.entra.register(identity)
    postgresql.create_role("short-lived", identity, "short-lived")
    token, url = FederatedToken(running_azure, tmp_path / "token"), postgresql.url("short-lived", "short-lived")
    own = {OPTION.format("CLIENT_ID"): identity.client_id, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    command = [sys.executable, "-c", RECONNECT, url]
    with subprocess.Popen(
        command,
        env=airflow.variables | own | token.variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Reconnecting(process), token
        finally:
            process.kill()


def test_a_process_that_has_signed_in_waits_for_the_next_token(
    short_lived: tuple[Reconnecting, FederatedToken],
) -> None:
    process, token = short_lived
    token.expire()
    process.connect()
    first = process.outcome()
    assert first[-1] == "> refused"
    assert not any(line.startswith(WAITING) for line in first), "what never worked is said at once"
    for how in ("sync", "async"):
        token.rotate()
        process.connect(how)
        assert process.outcome()[-1] == "> connected"
        token.expire()
        process.connect(how)
        assert process.waits()[-1].endswith("wait 4 s for this:")
        token.rotate()
        *said, outcome = process.outcome()
        assert outcome == "> connected"
        assert "expired" in said[0]
        assert any(line.startswith("Airflow's database can be signed in to again, after ") for line in said)
    token.expire()
    said = []
    for how in ("sync", "async", "sync"):
        process.connect(how)
        said += process.outcome()
    assert [line for line in said if line.startswith(">")] == ["> refused"] * 3
    assert sum(line.startswith(WAITING) for line in said) == 1, "all of an outage have one wait"
