"""Measure token exchanges, latency, import cost and memory beside raw azure-identity and the stock provider.

Prints a table and writes it as JSON. Everything is measured in one run against the simulated Entra, so that the
ratios hold whatever machine it is; the times alone say little about Azure, which takes 100 to 300 ms an exchange.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _bench_scenarios import COLD_ROUNDS, CONTAINER, CONTENDERS, SENSORS
from _bench_soak import soak
from _standalone import standalone
from starlette.requests import Request
from starlette.responses import Response

from airflow_azure_wi.testing import FederatedIdentityCredential, ManagedIdentity, OfflineAzure

HERE, PROGRAMS = Path(__file__).parent, Path(sys.executable).parent
SCENARIOS = {"threads": "50 threads, cold", "coroutines": "200 coroutines, cold", "hooks": "20 hooks, 5 scopes"}
HOOKS = {
    "ours": "airflow_azure_wi.hooks.azure_workload_identity",
    "raw": "azure.identity",
    "stock": "airflow.providers.microsoft.azure.hooks.base_azure",
}


class Bench:
    """Runs scenarios in processes of their own, against one simulated Entra, and collects rows of a table."""

    def __init__(self, azure: OfflineAzure, home: Path, *, quick: bool) -> None:
        self.azure, self.home, self.quick = azure, home, quick
        self.rows: list[dict[str, Any]] = []

    def identity(self) -> ManagedIdentity:
        """Register a new identity that trusts the workload: no process holds tokens of it."""
        [trusted] = self.azure.identity.federated_credentials
        identity = ManagedIdentity(tenant_id=self.azure.identity.tenant_id)
        identity.add_credential(FederatedIdentityCredential("worker", trusted.issuer, trusted.subject))
        self.azure.entra.register(identity)
        return identity

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a workload with an identity of its own."""
        identity = self.identity()
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AZURE_"))}
        ids = {"AZURE_CLIENT_ID": identity.client_id, "AZURE_TENANT_ID": identity.tenant_id}
        return own | self.azure.environment() | ids | {"AIRFLOW_HOME": str(self.home)} | more

    def run(self, *arguments: str, **more: str) -> Any:
        """Run one scenario to its end; return what it printed."""
        variables = self.variables(**more)
        done = subprocess.run(command(*arguments), env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def add(self, what: str, unit: str, values: Mapping[str, float]) -> None:
        """Add a row, print it, and give ratios to what is not ours."""
        ratios = {name: round(values["ours"] / value, 3) for name, value in values.items() if name != "ours" and value}
        self.rows.append({"what": what, "unit": unit, **values, "ratios": ratios})
        cells = "".join(f"{values[name]:>10.5g}" if name in values else f"{'-':>10}" for name in CONTENDERS)
        print(f"{what:<38}{unit:<10}{cells}   " + "  ".join(f"/{name} {ratio:.3g}" for name, ratio in ratios.items()))

    def exchanges(self) -> None:
        """Count exchanges where many ask at once."""
        for scenario, what in SCENARIOS.items():
            counts = {}
            for contender in CONTENDERS:
                self.azure.entra.clear()
                self.run(scenario, contender)
                counts[contender] = len(self.azure.entra.exchanges)
            self.add(what, "exchanges", counts)

    def processes(self) -> None:
        """Count exchanges of task processes that start together."""
        count = 20 if self.quick else 100
        with tempfile.TemporaryDirectory() as folder:
            for what, arguments in {"memory": [], "disk": [folder]}.items():
                ours, raw = self._start_together(count, "ours", *arguments), self._start_together(count, "raw")
                self.add(f"{count} processes, token_cache = {what}", "exchanges", {"ours": ours, "raw": raw})

    def _start_together(self, count: int, *arguments: str) -> int:
        self.azure.entra.clear()
        variables, pipe = self.variables(), subprocess.PIPE
        started = [
            subprocess.Popen(command("process", *arguments), env=variables, stdin=pipe, stdout=pipe, text=True)
            for _ in range(count)
        ]
        for process in started:
            assert process.stdout  # noqa: S101 - it is a pipe
            process.stdout.readline()
        for process in started:
            process.communicate("go\n")
        if failed := sum(process.returncode != 0 for process in started):
            raise SystemExit(f"{failed} of {count} processes failed")
        return len(self.azure.entra.exchanges)

    def latency(self) -> None:
        """Time cold and warm tokens."""
        clients = ",".join(self.identity().client_id for _ in range(COLD_ROUNDS * len(CONTENDERS)))
        times = self.run("latency", BENCH_CLIENT_IDS=clients)
        self.add("first token, cold", "ms", {name: value * 1e3 for name, value in times["cold"].items()})
        self.add("get_token, warm", "us", {name: value * 1e6 for name, value in times["warm"].items()})

    def task(self) -> None:
        """Time warm calls in a task of a running Airflow: scheduler, API server and supervisor are the real ones."""
        variables, home = self.variables(), self.home / "in-a-task"
        ids = {"clientId": variables["AZURE_CLIENT_ID"], "tenantId": variables["AZURE_TENANT_ID"]}
        result, log = home / "result.json", home / "airflow.log"
        (home / "dags").mkdir(parents=True)
        shutil.copy(HERE / "_bench_dag.py", home / "dags" / "bench_dag.py")
        variables |= {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__PARALLELISM": "1",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW_CONN_AZURE_WI": json.dumps({"conn_type": "azure_workload_identity", "extra": ids}),
            "BENCH_RESULT": str(result),
        }
        with log.open("wb") as output:
            migrate = [str(PROGRAMS / "airflow"), "db", "migrate"]
            subprocess.run(migrate, env=variables, check=True, stdout=output, stderr=output)
            with standalone(variables, output) as airflow:
                deadline = time.monotonic() + 300
                while not result.exists():
                    if airflow.process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"No task has measured anything:\n{log.read_text(errors='replace')[-6000:]}")
                    time.sleep(0.5)
        times = json.loads(result.read_text())
        if not times["is_supervised"]:
            raise SystemExit("The task had no supervisor in another process: what it measured is not its cost.")
        tokens = {"ours": times["hook.get_token"], "raw": times["raw.get_token"]}
        self.add("hook.get_token, warm, in a task", "us", tokens)
        self.add("hook.get_credential, warm, in a task", "us", {"ours": times["hook.get_credential"]})
        self.add("mask_secret of Airflow, in a task", "us", {"ours": times["mask_secret"]})

    def sensors(self) -> None:
        """Run triggers of stock sensors in one event loop, each of which finds its blob."""
        counts, costs = {}, {}
        with self.azure.serving(_blob, "acct.blob.core.windows.net"):
            for contender in ("ours", "stock"):
                self.azure.entra.clear()
                costs[contender] = self.run("sensors", contender)
                counts[contender] = len(self.azure.entra.exchanges)
        what = f"{SENSORS} WasbBlobSensors, one loop"
        self.add(what, "exchanges", counts)
        for unit in ("seconds", "MiB"):
            self.add(what, unit, {name: cost[unit] for name, cost in costs.items()})

    def imports(self) -> None:
        """Time imports after airflow.sdk, and weigh processes."""
        costs = {name: [self.run("imports", module) for _ in range(3)] for name, module in HOOKS.items()}
        self.add("import after airflow.sdk", "ms", {name: min(c["ms"] for c in runs) for name, runs in costs.items()})
        self.add("modules that it loads", "modules", {name: runs[0]["modules"] for name, runs in costs.items()})
        nothing = self.run("memory", "nothing")
        self.add("memory for a token", "MiB", {name: self.run("memory", name) - nothing for name in CONTENDERS})


async def _blob(scope: Any, receive: Any, send: Any) -> None:
    """Answer for one container, in which there is every blob; refuse who has no access token."""
    request = Request(scope)
    is_signed_in = request.headers.get("Authorization", "").startswith("Bearer ey")
    found = is_signed_in and request.url.path.startswith(f"/{CONTAINER}/")
    headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}
    await Response(status_code=200 if found else 401, headers=headers)(scope, receive, send)


def command(*arguments: str) -> list[str]:
    """The command that runs a scenario."""
    return [sys.executable, str(HERE / "_bench_scenarios.py"), *arguments]


def main() -> int:
    """Run what was asked for; return 0 if the soak saw no failure."""
    parts = ("exchanges", "processes", "latency", "task", "sensors", "imports", "soak")
    parser = argparse.ArgumentParser(
        prog="./dev/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", default="bench.json", help="where it goes (default: bench.json)")
    parser.add_argument("--quick", action="store_true", help="20 processes instead of 100, and a soak of 1/10")
    parser.add_argument("--only", metavar="NAME", choices=parts, help=f"one of: {', '.join(parts)}")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as home, OfflineAzure(Path(home) / "azure", with_storage=False) as azure:
        bench = Bench(azure, Path(home), quick=options.quick)
        print(f"{'':<38}{'':<10}" + "".join(f"{name:>10}" for name in CONTENDERS) + "   ours in relation to the others")
        for part in parts[:-1]:
            if options.only in {None, part}:
                getattr(bench, part)()
        soaked = soak(Path(home) / "soak", hours=1 if options.quick else 10) if options.only in {None, "soak"} else None
    result = {"rows": bench.rows, "soak": soaked, "seconds": round(time.monotonic() - begun)}
    Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
    print(f"Written to {options.json}")
    return 1 if soaked and soaked["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
