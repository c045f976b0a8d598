"""The demo itself, which `dev/demo` runs in the environment that it made."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient
from azure.identity import WorkloadIdentityCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from airflow_azure_wi.connection_formats import NewConnection, as_json, identity_from_az
from airflow_azure_wi.testing import Exchange, ManagedIdentity, OfflineAzure
from tests.airflow_program import variables_of, without_recipes
from tests.airflow_standalone import standalone

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
AIRFLOW_HOME = HOME / "airflow"
DAGS = HOME / "dags"
STARTED = time.monotonic()
PROGRAM = str(Path(sys.executable).parent / "airflow")
DAG = "azure_workload_identity_example"
# As the DAG names them; importing it would import Airflow.
CONNECTION, CONTAINER, TABLE = "azure_wi", "airflow-azure-wi", "airflowazurewi"
CLIENTS = {"BlobServiceClient", "aio.BlobServiceClient", "QueueServiceClient", "TableServiceClient", "get_token"}
# Fixed, so that the connection of an earlier run still names the identity of this one.
IDENTITY = ManagedIdentity(
    client_id="6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
    tenant_id="72f988bf-86f1-41af-91ab-2d7cd011db47",
    subscription_id="0b1f6471-1bf0-4dda-aec3-cb9272f09590",
    principal_id="2b4d1c7a-8f7e-4a34-9c55-0d6a3a6b9f21",
)
STORED = NewConnection.of(identity_from_az(json.dumps(IDENTITY.as_json()), source="the offline Azure"), CONNECTION)


def main() -> int:
    """Run the demo; return 0 only if everything that it shows has happened."""
    options = argparse.ArgumentParser()
    options.add_argument("--ui", action="store_true")
    with_ui = options.parse_args().ui
    for stop in (signal.SIGTERM, signal.SIGINT):
        # Whoever ends this ends what it started: Airflow's processes and Azurite.
        signal.signal(stop, signal.default_int_handler)
    shutil.rmtree(HOME / "azure", ignore_errors=True)
    AIRFLOW_HOME.mkdir(parents=True, exist_ok=True)
    say("Starting the offline Azure: a simulated Entra, a projected token, and Azurite (installed on the first run)")
    with OfflineAzure(HOME / "azure", identity=IDENTITY) as azure:
        variables = environment(azure)
        copy_dags(azure)
        prepare_airflow(variables)
        failures = run_dag(variables, azure)
        if with_ui and not failures:
            serve(variables)
    return 1 if failures else 0


def environment(azure: OfflineAzure) -> dict[str, str]:
    """The variables of a workload whose cluster projects its federated token, and of an Airflow of its own."""
    return {
        **variables_of(AIRFLOW_HOME, DAGS),
        **azure.environment(),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }


def copy_dags(azure: OfflineAzure) -> None:
    """Copy the example DAGs, with the storage of this run as their defaults, so that a click in the page runs them."""
    shutil.rmtree(DAGS, ignore_errors=True)
    DAGS.mkdir()
    storage = {"blob": azure.azurite.blob_url, "queue": azure.azurite.queue_url, "table": azure.azurite.table_url}
    # Not the recipes: they want accounts that are not here.
    for file in without_recipes(DAGS).iterdir():
        text = file.read_text()
        for service, url in storage.items():
            text = text.replace(f"https://ACCOUNT.{service}.core.windows.net", url)
        file.write_text(text)


def prepare_airflow(variables: dict[str, str]) -> None:
    """Make Airflow's database and the connection, unless an earlier run did."""
    ready = AIRFLOW_HOME / "ready"
    wanted = as_json(STORED)
    if ready.exists() and ready.read_text() == wanted:
        say(f"Airflow's database and the connection {CONNECTION!r} are there from an earlier run")
        return
    say("Making Airflow's database (on the first run only)")
    (AIRFLOW_HOME / "airflow.db").unlink(missing_ok=True)
    airflow(variables, "db", "migrate")
    say(f"Making the connection {CONNECTION!r} from the JSON that `az identity create` prints")
    airflow(variables, "connections", "add", CONNECTION, "--conn-json", wanted)
    ready.write_text(wanted)


def run_dag(variables: dict[str, str], azure: OfflineAzure) -> list[str]:
    """Run the example DAG with Airflow, and report what really happened. Return what did not."""
    say(f"Running the DAG {DAG!r} with `airflow dags test`")
    command = [PROGRAM, "dags", "test", DAG]
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    output = run.stdout + run.stderr
    (HOME / "airflow-dags-test.log").write_text(output)
    # Before this process signs in itself, to look at what the tasks left behind.
    exchanges = azure.entra.exchanges
    reports = [json.loads(line) for line in re.findall(r'\{"client": .*\}', output)]
    failures = [f"the DAG run failed with exit code {run.returncode}"] if run.returncode else []
    failures += [
        f"no task reported on {client}" for client in sorted(CLIENTS - {report["client"] for report in reports})
    ]
    failures += [f"Entra refused a token exchange: {made.error_code}" for made in exchanges if made.error_code]
    failures += not_in_storage(azure)
    print_report(reports, exchanges, failures)
    return failures


def not_in_storage(azure: OfflineAzure) -> list[str]:
    """Look into the storage server, past Airflow and this package: what should be there and is not."""
    os.environ.update(azure.environment())
    credential = WorkloadIdentityCredential(client_id=IDENTITY.client_id, tenant_id=IDENTITY.tenant_id)
    missing = []
    blobs = BlobServiceClient(azure.azurite.blob_url, credential=credential)
    for name, text in (("greeting.txt", "Hello from a blob"), ("greeting-async.txt", "Hello from a coroutine")):
        try:
            found = blobs.get_blob_client(CONTAINER, name).download_blob().readall().decode()
        except AzureError as error:
            found = str(error)
        if found != text:
            missing.append(f"blob {CONTAINER}/{name} is {found!r}, expected {text!r}")
    queues = {queue.name for queue in QueueServiceClient(azure.azurite.queue_url, credential=credential).list_queues()}
    missing += [] if CONTAINER in queues else [f"queue {CONTAINER} is missing"]
    tables = TableServiceClient(azure.azurite.table_url, credential=credential)
    try:
        tables.get_table_client(TABLE).get_entity("greetings", "1")
    except AzureError as error:
        missing.append(f"entity {TABLE}/greetings/1: {error}")
    return missing


def print_report(reports: list[dict[str, str]], exchanges: list[Exchange], failures: list[str]) -> None:
    """Print what a person wants to know, and nothing that did not happen."""
    print(f"\n{'client':<24}{'wrote':<54}read back")
    for report in reports:
        print(f"{report['client']:<24}{report['object']:<54}{report['read_back']}")
    print(f"\nToken exchanges that reached the simulated Entra: {len(exchanges)}, as client {IDENTITY.client_id}")
    made = Counter((exchange.subject, exchange.scope, exchange.error_code or "granted") for exchange in exchanges)
    for (subject, scope, outcome), count in made.items():
        print(f"  {count} x {scope} by {subject}: {outcome}")
    print(f"Secrets in the connection: none. It holds {', '.join(STORED.extra)}.")
    if failures:
        print("\nFAILED:\n" + "\n".join(f"  - {failure}" for failure in failures))
        print(f"If you changed the connection {CONNECTION!r} in the page, remove .demo and run this again.")
        print(f"What Airflow said is in {(HOME / 'airflow-dags-test.log').relative_to(ROOT)}")
    else:
        print("\nAll of it happened: written by tasks, and read again from the storage server by this script.")


def serve(variables: dict[str, str]) -> None:
    """Run Airflow with its web page until Ctrl+C."""
    with standalone(variables) as running:
        say(f"Starting Airflow; soon it is at {running.address}/plugin/azure-workload-identity . Ctrl+C ends it.")
        with suppress(KeyboardInterrupt):
            running.process.wait()
        say("Stopping Airflow")


def airflow(variables: dict[str, str], *arguments: str) -> None:
    """Run Airflow's command line; show what it said only if it failed."""
    run = subprocess.run([PROGRAM, *arguments], env=variables, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"airflow {' '.join(arguments[:2])} failed:\n{run.stdout}{run.stderr}")


def say(message: str) -> None:
    """Say what happens, with the seconds since the start: on a slow machine that shows that it goes on."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
