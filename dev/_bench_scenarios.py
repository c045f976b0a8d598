"""What `dev/bench` measures, each in a process of its own: python _bench_scenarios.py SCENARIO CONTENDER [ARGUMENT].

A contender gives credentials as its users get them: ours as the hook does, raw ones of azure-identity, and stock ones
from the factory that the hooks of the stock provider share. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CONTENDERS = ("ours", "raw", "stock")
STORAGE = "https://storage.azure.com/.default"
SERVICES = (
    "storage.azure.com",
    "vault.azure.net",
    "management.azure.com",
    "servicebus.azure.net",
    "graph.microsoft.com",
)
COLD_ROUNDS = 62
SENSORS = 1000
CONTAINER = "data"


def credential(contender: str, client_id: str = "", *, folder: str = "", asynchronous: bool = False) -> Any:
    """A contender's credential; what it does not need is not imported, as that is measured."""
    client_id, tenant_id = client_id or os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_TENANT_ID"]
    if contender == "ours":
        from airflow_azure_wi import auth
        from airflow_azure_wi.deployment import Deployment
        from airflow_azure_wi.identity import WorkloadIdentity

        build = auth.async_credential_for if asynchronous else auth.credential_for
        options = {"token_cache": "disk", "token_cache_folder": folder} if folder else None
        deployment = Deployment.of(os.environ, options)
        return build(WorkloadIdentity(client_id, tenant_id), deployment, used_by="the bench")
    if contender == "raw":
        import azure.identity

        if asynchronous:
            import azure.identity.aio
        return (azure.identity.aio if asynchronous else azure.identity).WorkloadIdentityCredential(client_id=client_id)
    from airflow.providers.microsoft.azure import utils

    kind = "async" if asynchronous else "sync"
    factory = getattr(utils, f"get_{kind}_default_azure_credential")
    return factory(managed_identity_client_id=client_id, workload_identity_tenant_id=tenant_id)


def threads(contender: str) -> None:
    """Fifty threads ask one cold credential at once."""
    cold, ready = credential(contender), threading.Barrier(50)

    def ask(_: int) -> None:
        ready.wait()
        cold.get_token(STORAGE)

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(ask, range(50)))


def coroutines(contender: str) -> None:
    """Two hundred coroutines ask one cold credential at once."""

    async def ask_all() -> None:
        async with credential(contender, asynchronous=True) as cold:
            await asyncio.gather(*(cold.get_token(STORAGE) for _ in range(200)))

    asyncio.run(ask_all())


def hooks(contender: str) -> None:
    """Twenty hooks for five services, one after the other, as a task builds them."""
    for number in range(20):
        credential(contender).get_token(f"https://{SERVICES[number % len(SERVICES)]}/.default")


def process(contender: str, folder: str = "") -> None:
    """One task process: it waits for the others, then asks for one token."""
    cold = credential(contender, folder=folder)
    print("ready", flush=True)
    sys.stdin.readline()
    cold.get_token(STORAGE)


def seconds(call: Any) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def latency() -> dict[str, dict[str, float]]:
    """Cold and warm tokens, medians in seconds; the contenders take turns, so that all see the same machine."""
    cold: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    warm: dict[str, float] = {}
    clients = iter(os.environ["BENCH_CLIENT_IDS"].split(","))
    orders = list(itertools.permutations(CONTENDERS))
    # In each order as often as in any other: what came before warms the machine for what comes after.
    for name in (name for turn in range(COLD_ROUNDS) for name in orders[turn % len(orders)]):
        client = next(clients)
        cold[name].append(seconds(lambda name=name, client=client: credential(name, client).get_token(STORAGE)))
    for name in CONTENDERS:
        held = credential(name)
        held.get_token(STORAGE)
        warm[name] = statistics.median(seconds(lambda held=held: held.get_token(STORAGE)) for _ in range(2000))
    # The first rounds also pay for what is imported at the first exchange.
    return {"cold": {name: statistics.median(times[2:]) for name, times in cold.items()}, "warm": warm}


def sensors(contender: str) -> dict[str, float]:
    """Triggers of stock sensors in one event loop: how long until each has found its blob, and the memory."""
    # Airflow's own handler writes to where the result goes.
    logging.disable()
    account, tenant_id = "https://acct.blob.core.windows.net", os.environ["AZURE_TENANT_ID"]
    client_id = os.environ["AZURE_CLIENT_ID"]
    ids = {"managed_identity_client_id": client_id, "workload_identity_tenant_id": tenant_id}
    os.environ["AIRFLOW_CONN_STOCK"] = json.dumps({"conn_type": "wasb", "host": account, "extra": ids})
    extra = {"clientId": client_id, "tenantId": tenant_id}
    os.environ["AIRFLOW_CONN_OURS"] = json.dumps({"conn_type": "azure_workload_identity", "extra": extra})
    from airflow.providers.microsoft.azure.triggers.wasb import WasbBlobSensorTrigger

    from airflow_azure_wi import at

    conn_id = at("ours", account) if contender == "ours" else "stock"

    async def wait(number: int) -> None:
        async for event in WasbBlobSensorTrigger(CONTAINER, f"{number}.txt", wasb_conn_id=conn_id).run():
            if event.payload["status"] != "success":
                raise RuntimeError(event.payload["message"])

    async def wait_for_all() -> None:
        await asyncio.gather(*(wait(number) for number in range(SENSORS)))

    return {"seconds": seconds(lambda: asyncio.run(wait_for_all())), "MiB": _peak_memory()}


def imports(module: str) -> dict[str, float]:
    """What a module costs once airflow.sdk is there."""
    from airflow.sdk import BaseHook  # noqa: F401

    modules = set(sys.modules)
    return {"ms": seconds(lambda: __import__(module)) * 1000, "modules": len(set(sys.modules) - modules)}


def memory(contender: str) -> float:
    """Peak memory (MiB) of a process that imports a contender and gets a token."""
    if contender != "nothing":
        credential(contender).get_token(STORAGE)
    return _peak_memory()


def _peak_memory() -> float:
    # Not getrusage: its peak includes that of the parent, before this program replaced it.
    [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    scenario, *arguments = sys.argv[1:]
    print(json.dumps(globals()[scenario](*arguments)))
