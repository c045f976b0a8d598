"""Twenty tasks and a deferred sensor get over each outage by themselves: by the retries of Airflow, and nobody's hand.

Half of the tasks share their access tokens on disk.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure, ProjectedToken
from airflow_azure_wi.testing.faults import Delay, Fault, Hang, Status
from tests.executors.deployment import Deployment
from tests.executors.programs import Program
from tests.executors.relay import Relay
from tests.executors.resource import Resource

# The triggerer has a service account of its own, which tells its exchanges apart.
ACCOUNTS = ("airflow-worker", "airflow-triggerer")
TASKS = 20
# More than will be asked for.
MANY = 10_000
# Of a task that reads one blob: Airflow's own, and a few of the sign-in.
MOST_LINES = 15

pytestmark = pytest.mark.timeout(400)


@dataclass
class Workloads:
    """An Airflow whose scheduler and triggerer run as workloads, and what may happen to them.

    :ivar programs: the scheduler, and the triggerer.
    :ivar blobs: the paths of the blobs that there are.
    """

    airflow: Deployment
    azure: OfflineAzure
    relay: Relay
    home: Path
    running: ExitStack
    lifetime: float = 3600
    programs: list[Program] = field(default_factory=list)
    blobs: set[str] = field(default_factory=set)
    tokens: dict[str, ProjectedToken] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for account in ACCOUNTS:
            self.tokens[account] = ProjectedToken(self.home / account, lambda account=account: self._sign(account))

    def _sign(self, account: str) -> str:
        return self.azure.cluster.service_account_token("airflow", account, lifetime=self.lifetime)

    def variables(self, account: str) -> dict[str, str]:
        return {
            "AZURE_FEDERATED_TOKEN_FILE": str(self.tokens[account].path),
            "AZURE_AUTHORITY_HOST": f"https://127.0.0.1:{self.relay.port}",
            "AIRFLOW__AZURE_WORKLOAD_IDENTITY__TOKEN_CACHE_FOLDER": str(self.home / "cache"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        }

    def start_triggerer(self) -> None:
        """Run the triggerer, until all end."""
        command = ["triggerer", "--skip-serve-logs"]
        self.programs.append(
            self.running.enter_context(self.airflow.part("triggerer", self.variables(ACCOUNTS[1]), *command))
        )

    def rotate(self, *, lifetime: float) -> None:
        self.lifetime = lifetime
        for token in self.tokens.values():
            token.rotate()

    def credential(self, account: str) -> FederatedIdentityCredential:
        return FederatedIdentityCredential(
            account, self.azure.cluster.issuer, f"system:serviceaccount:airflow:{account}"
        )

    def connect(self, conn_id: str) -> ManagedIdentity:
        """Make an identity that trusts the workloads, and a connection; no process holds tokens of it."""
        identity = ManagedIdentity(tenant_id=self.azure.identity.tenant_id)
        for account in ACCOUNTS:
            identity.add_credential(self.credential(account))
        self.azure.entra.register(identity)
        extra = json.dumps(identity.as_json())
        self.airflow.ask(
            "connections", {"connection_id": conn_id, "conn_type": "azure_workload_identity", "extra": extra}
        )
        return identity

    def failing(self, run: dict[str, Any]) -> tuple[int, int]:
        """Return how many of the twenty tasks, and how many sensors, have failed at least once."""
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        failed = [
            instance["task_id"]
            for instance in self.airflow.ask(path)["task_instances"]
            if instance["state"] == "up_for_retry" or instance["try_number"] > 1
        ]
        sensors = failed.count("wait_for_a_blob")
        return len(failed) - sensors, sensors

    def hanging(self, identity: ManagedIdentity) -> set[str]:
        """Return the workloads whose exchange was left without an answer."""
        return {
            exchange.subject.rpartition(":")[2]
            for exchange in self.azure.entra.exchanges
            if (exchange.client_id, exchange.error_code) == (identity.client_id, "Hang")
        }

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        self.programs[0].wait_until(is_so)

    def storage(self) -> ASGIApp:
        """Return what answers for the storage account."""
        headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            if not request.headers.get("Authorization", "").startswith("Bearer ey"):
                response = Response(status_code=401)
            elif request.url.path not in self.blobs:
                response = Response(status_code=404, headers={"x-ms-error-code": "BlobNotFound"})
            elif request.method == "HEAD":
                response = Response(status_code=200, headers=headers)
            else:
                response = Response(b"found", 206, {**headers, "Content-Range": "bytes 0-4/5"})
            await response(scope, receive, send)

        return answer


@pytest.fixture(scope="module")
def workloads(
    airflow_deployment: Deployment, running_azure: OfflineAzure, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workloads]:
    with Relay(running_azure.entra.port) as relay, ExitStack() as running:
        home = tmp_path_factory.mktemp("workloads")
        workloads = Workloads(airflow_deployment, running_azure, relay, home, running)
        started = datetime.now(timezone.utc)
        running.enter_context(running_azure.serving(workloads.storage(), "acct.blob.core.windows.net"))
        workloads.programs += running.enter_context(airflow_deployment.local_executor(workloads.variables(ACCOUNTS[0])))
        workloads.start_triggerer()
        airflow_deployment.always["dag-processor"].wait_until(
            lambda: all(map(airflow_deployment.has, ("outage_restart", "one_blob", "killed")))
        )
        # A component that has never signed in to the database does not outlast an outage.
        workloads.wait_until(lambda: min(heartbeats(airflow_deployment)) > started)
        yield workloads


def heartbeats(airflow: Deployment) -> list[datetime]:
    """Return when the scheduler and the triggerer were last seen."""
    health = airflow.ask("monitor/health")
    latest = [health[name][f"latest_{name}_heartbeat"] or "1970-01-01T00:00:00Z" for name in ("scheduler", "triggerer")]
    return [datetime.fromisoformat(each.replace("Z", "+00:00")) for each in latest]


@contextmanager
def faults(workloads: Workloads, fault: Fault) -> Iterator[None]:
    workloads.azure.entra.fail_next(*[fault] * MANY)
    yield
    workloads.azure.entra.stop_failing()


@contextmanager
def closed_port(workloads: Workloads, _: ManagedIdentity) -> Iterator[None]:
    workloads.relay.close()
    yield
    workloads.relay.open()


@contextmanager
def no_token_file(workloads: Workloads, _: ManagedIdentity) -> Iterator[None]:
    for token in workloads.tokens.values():
        token.path.unlink()
    yield
    workloads.rotate(lifetime=3600)


@contextmanager
def no_federated_credential(workloads: Workloads, identity: ManagedIdentity) -> Iterator[None]:
    for account in ACCOUNTS:
        identity.remove_credential(account)
    yield
    for account in ACCOUNTS:
        identity.add_credential(workloads.credential(account))


@contextmanager
def clock(workloads: Workloads, _: ManagedIdentity) -> Iterator[None]:
    """As on a machine whose clock is ahead, or where nobody rotates the token: each is expired when it is read."""
    workloads.rotate(lifetime=-60)
    yield
    workloads.rotate(lifetime=3600)


OUTAGES: dict[str, Callable[[Workloads, ManagedIdentity], AbstractContextManager[None]]] = {
    "http_500": lambda workloads, _: faults(workloads, Status(500)),
    "hang": lambda workloads, _: faults(workloads, Hang(60)),
    "closed_port": closed_port,
    "no_token_file": no_token_file,
    "no_federated_credential": no_federated_credential,
    "clock": clock,
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_twenty_tasks_and_a_sensor_recover(workloads: Workloads, outage: str) -> None:
    identity = workloads.connect(f"azure_{outage}")
    workloads.blobs.add(f"/{outage}/awaited.txt")
    with Resource(workloads.azure, identity) as resource:
        with OUTAGES[outage](workloads, identity):
            run = workloads.airflow.begin(f"outage_{outage}", {"resource": resource.url})
            if outage == "hang":
                # An attempt that gets no answer does not fail before the outage ends.
                workloads.wait_until(lambda: workloads.hanging(identity) == set(ACCOUNTS))
            else:
                workloads.wait_until(lambda: workloads.failing(run) >= (3, 1) and workloads.failing(run)[1] == 1)
            assert resource.visits == []
        recovered(workloads, run, resource)


def test_they_go_on_after_a_restart_of_api_server_and_triggerer(workloads: Workloads) -> None:
    identity = workloads.connect("azure_restart")
    airflow = workloads.airflow
    with Resource(workloads.azure, identity) as resource:
        run = airflow.begin("outage_restart", {"resource": resource.url})
        workloads.wait_until(lambda: len(resource.visits) > 3 and signed_in(ACCOUNTS[1], workloads, identity))
        workloads.programs.pop().end()
        airflow.always["api-server"].end()
        workloads.azure.entra.clear()
        airflow.start("api-server").wait_until(airflow.is_serving)
        workloads.start_triggerer()
        workloads.wait_until(lambda: signed_in(ACCOUNTS[1], workloads, identity))
        workloads.blobs.add("/restart/awaited.txt")
        recovered(workloads, run, resource, may_repeat=True)


def signed_in(account: str, workloads: Workloads, identity: ManagedIdentity) -> bool:
    return any(
        exchange.client_id == identity.client_id and exchange.subject.endswith(f":{account}")
        for exchange in workloads.azure.entra.exchanges
    )


def recovered(workloads: Workloads, run: dict[str, Any], resource: Resource, *, may_repeat: bool = False) -> None:
    """Assert that a run ends well, without anybody's help.

    :param may_repeat: whether Airflow may run a task again that has presented its token: it does where the task could
        not say that it has ended, as while the API server is away.
    """
    assert workloads.airflow.wait(run, workloads.programs)["state"] == "success"
    assert resource.refusals == []
    presented = [int(path.strip("/")) for path in resource.visits]
    assert sorted(set(presented) if may_repeat else presented) == list(range(TASKS))


def test_on_kill_gets_the_token_that_the_task_is_waiting_for(workloads: Workloads, tmp_path: Path) -> None:
    """Airflow calls it from the handler of SIGTERM, in the thread that waits."""
    identity = workloads.connect("azure_killed")
    workloads.azure.entra.clear()
    workloads.azure.entra.fail_next(Delay(3))
    run = workloads.airflow.begin("killed", {"folder": str(tmp_path)})
    workloads.wait_until((tmp_path / "waiting").exists)
    os.kill(int((tmp_path / "waiting").read_text()), signal.SIGTERM)
    workloads.airflow.wait(run, workloads.programs)
    assert (tmp_path / "cleaned up").read_text().startswith("with a token of ")
    exchanges = [each for each in workloads.azure.entra.exchanges if each.client_id == identity.client_id]
    assert [exchange.error_code for exchange in exchanges].count(None) == 1


def test_a_task_that_reads_one_blob_logs_few_lines(workloads: Workloads) -> None:
    workloads.blobs.add("/data/awaited.txt")
    run = workloads.airflow.run("one_blob", workloads.programs)
    assert run["state"] == "success"
    path = f"dags/one_blob/dagRuns/{run['dag_run_id']}/taskInstances/read/logs/1"
    lines = [line["event"] for line in workloads.airflow.ask(path)["content"]]
    read = "\n".join(lines)
    assert "Request URL" not in read
    assert "x-ms-" not in read
    assert len(lines) <= MOST_LINES, read


def test_triggers_log_no_http_headers(workloads: Workloads) -> None:
    logs = list(workloads.airflow.home.rglob("*.log.trigger*"))
    assert logs, "the triggers of the outages have logged"
    assert [log for log in logs if "Request URL" in log.read_text(errors="replace")] == []
