"""Measure token exchanges, latency, import cost and memory beside raw azure-identity and the stock providers.

Prints a table and writes it as JSON. Everything is measured in one run against the simulated Entra, so that the
ratios hold whatever machine it is; the times alone say little about Azure, which takes 100 to 300 ms an exchange.
Counts do not depend on what else runs at the same time, and CPU times hardly do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _bench_airflow as whole_airflow
from _bench_costs import CONTENDERS
from _bench_soak import soak

from airflow_azure_wi.testing import OfflineAzure

HERE = Path(__file__).parent
COSTS = {
    "import": ("import after airflow.sdk", "CPU ms"),
    "first": ("first token of a process, with imports", "CPU ms"),
    "warm": ("get_token, warm", "us"),
    "memory": ("memory for a token", "MiB"),
}
PARTS = ("costs", "task", "databricks", "sensors", "soak")
PROVIDERS = ("microsoft-azure", "databricks")


class Table:
    """Collects rows and prints each at once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        print(f"{'':<42}{'':<13}" + "".join(f"{name:>10}" for name in CONTENDERS) + "   ours in relation to the others")

    def add(self, what: str, unit: str, values: Mapping[str, float]) -> None:
        """Add a row with ratios to what is not ours."""
        ratios = {name: round(values["ours"] / value, 3) for name, value in values.items() if name != "ours" and value}
        self.rows.append({"what": what, "unit": unit, **values, "ratios": ratios})
        cells = "".join(f"{values[name]:>10.5g}" if name in values else f"{'-':>10}" for name in CONTENDERS)
        others = "  ".join(f"/{name} {ratio:.3g}" for name, ratio in ratios.items())
        print(f"{what:<42}{unit:<13}{cells}   {others}", flush=True)

    def compare(self, what: str, measured: Mapping[str, Mapping[str, float]]) -> None:
        """Add a row for each unit."""
        for unit in measured["ours"]:
            self.add(what, unit, {name: values[unit] for name, values in measured.items()})


def measure_costs(azure: OfflineAzure, home: Path, table: Table, rounds: int) -> None:
    """Measure processes of their own; the contenders take turns, so that all see the same machine."""
    ids = azure.identity
    ours = {"clientId": ids.client_id, "tenantId": ids.tenant_id}
    stock: dict[str, Any] = {"managed_identity_client_id": ids.client_id, "workload_identity_tenant_id": ids.tenant_id}
    stock["use_azure_identity_object"] = True
    variables = azure.environment() | {
        "AIRFLOW_HOME": str(home / "costs"),
        "AIRFLOW_CONN_OURS": json.dumps({"conn_type": "azure_workload_identity", "extra": ours}),
        "AIRFLOW_CONN_STOCK": json.dumps({"conn_type": "azure", "extra": stock}),
        "AZURE_CLIENT_ID": ids.client_id,
        "AZURE_TENANT_ID": ids.tenant_id,
    }

    def measure(contender: str) -> Any:
        command = [sys.executable, str(HERE / "_bench_costs.py"), contender]
        done = subprocess.run(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    runs = [{name: measure(name) for name in CONTENDERS} for _ in range(rounds)]
    for cost, (what, unit) in COSTS.items():
        table.add(what, unit, {name: statistics.median(run[name][cost] for run in runs) for name in CONTENDERS})


def measure_in_airflow(azure: OfflineAzure, home: Path, table: Table, parts: set[str], share: int) -> None:
    """Measure what needs a whole Airflow, with a share of the tasks and sensors."""
    tasks, sensors = 200 // share, 1000 // share
    with whole_airflow.running(azure, home, tasks=tasks, sensors=sensors) as airflow:
        if "task" in parts:
            times = airflow.warm_calls()
            table.add("hook.get_token, warm, in a task", "us", {n: times[f"{n}.get_token"] for n in ("ours", "raw")})
            table.add("hook.get_credential, warm, in a task", "us", {"ours": times["ours.get_credential"]})
            table.add("mask_secret of Airflow, in a task", "us", {"ours": times["mask_secret"]})
        if "databricks" in parts:
            measured = {name: airflow.databricks(name, "memory") for name in ("ours", "stock")}
            table.compare(f"{tasks} Databricks tasks", measured)
            measured["ours"] = airflow.databricks("ours", "disk")
            table.compare(f"{tasks} Databricks tasks, token_cache = disk", measured)
        if "sensors" in parts:
            table.compare(f"{sensors} deferred sensors", {name: airflow.sensors(name) for name in ("ours", "stock")})


def main() -> int:
    """Run what was asked for; return 0 if the soak saw no failure."""
    parser = argparse.ArgumentParser(
        prog="./dev/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", default="bench.json", help="where it goes (default: bench.json)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds, tasks, sensors and hours")
    parser.add_argument("--only", metavar="NAME", choices=PARTS, help=f"one of: {', '.join(PARTS)}")
    options = parser.parse_args()
    parts, share = {options.only} if options.only else set(PARTS), 10 if options.quick else 1
    packages = ["apache-airflow", "azure-identity", *(f"apache-airflow-providers-{name}" for name in PROVIDERS)]
    run = [f"{datetime.now(timezone.utc):%Y-%m-%d}", f"{os.cpu_count()} cores with load {os.getloadavg()[0]:.1f}"]
    run += [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    print(", ".join(run))
    table, soaked = Table(), None
    with tempfile.TemporaryDirectory() as home, OfflineAzure(Path(home) / "azure", with_storage=False) as azure:
        if "costs" in parts:
            measure_costs(azure, Path(home), table, 10 // share)
        if {"task", "databricks", "sensors"} & parts:
            measure_in_airflow(azure, Path(home), table, parts, share)
        if "soak" in parts:
            soaked = soak(Path(home) / "soak", hours=10 // share)
    Path(options.json).write_text(json.dumps({"run": run, "rows": table.rows, "soak": soaked}, indent=2) + "\n")
    print(f"Written to {options.json}")
    return 1 if soaked and soaked["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
