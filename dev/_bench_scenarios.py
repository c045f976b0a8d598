"""What `dev/bench` measures, each in a process of its own: python _bench_scenarios.py SCENARIO CONTENDER [ARGUMENT].

A contender gives credentials as its users get them: ours from the hook's room, raw ones of azure-identity, and stock
ones from the factory that the hooks of the stock provider share. Prints one line of JSON.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

STORAGE = "https://storage.azure.com/.default"
SERVICES = [
    "storage.azure.com",
    "vault.azure.net",
    "management.azure.com",
    "servicebus.azure.net",
    "graph.microsoft.com",
]
COLD_ROUNDS = 62
SENSORS = 1000
CONTAINER = "data"
SCOPES = [f"https://{service}/.default" for service in SERVICES]


def ours(client_id: str, folder: str = "") -> Any:
    """A credential of this package."""
    from airflow_azure_wi.auth import credential_for
    from airflow_azure_wi.deployment import Deployment
    from airflow_azure_wi.identity import WorkloadIdentity

    options = {"token_cache": "disk", "token_cache_folder": folder} if folder else None
    identity = WorkloadIdentity(client_id, os.environ["AZURE_TENANT_ID"])
    return credential_for(identity, Deployment.of(os.environ, options), used_by="the bench")


def raw(client_id: str) -> Any:
    """azure-identity's credential, as documented."""
    from azure.identity import WorkloadIdentityCredential

    return WorkloadIdentityCredential(client_id=client_id)


def stock(client_id: str) -> Any:
    """What each stock hook builds for itself."""
    from airflow.providers.microsoft.azure.utils import get_sync_default_azure_credential

    return get_sync_default_azure_credential(
        managed_identity_client_id=client_id, workload_identity_tenant_id=os.environ["AZURE_TENANT_ID"]
    )


def ours_async(client_id: str) -> Any:
    """The asynchronous credential of this package."""
    from airflow_azure_wi.auth import async_credential_for
    from airflow_azure_wi.deployment import Deployment
    from airflow_azure_wi.identity import WorkloadIdentity

    identity = WorkloadIdentity(client_id, os.environ["AZURE_TENANT_ID"])
    return async_credential_for(identity, Deployment.of(os.environ), used_by="the bench")


def raw_async(client_id: str) -> Any:
    """azure-identity's asynchronous credential."""
    from azure.identity.aio import WorkloadIdentityCredential

    return WorkloadIdentityCredential(client_id=client_id)


def stock_async(client_id: str) -> Any:
    """What each asynchronous stock hook builds for itself."""
    from airflow.providers.microsoft.azure.utils import get_async_default_azure_credential

    return get_async_default_azure_credential(
        managed_identity_client_id=client_id, workload_identity_tenant_id=os.environ["AZURE_TENANT_ID"]
    )


CONTENDERS: dict[str, Callable[..., Any]] = {"ours": ours, "raw": raw, "stock": stock}
ASYNC_CONTENDERS: dict[str, Callable[..., Any]] = {"ours": ours_async, "raw": raw_async, "stock": stock_async}


def client_id() -> str:
    """The identity of this scenario."""
    return os.environ["AZURE_CLIENT_ID"]


def threads(contender: str) -> None:
    """Fifty threads ask one cold credential at once."""
    credential, ready = CONTENDERS[contender](client_id()), threading.Barrier(50)

    def ask() -> None:
        ready.wait()
        credential.get_token(STORAGE)

    with ThreadPoolExecutor(50) as pool:
        for asked in [pool.submit(ask) for _ in range(50)]:
            asked.result()


def coroutines(contender: str) -> None:
    """Two hundred coroutines ask one cold credential at once."""

    async def ask_all() -> None:
        credential = ASYNC_CONTENDERS[contender](client_id())
        async with credential:
            await asyncio.gather(*(credential.get_token(STORAGE) for _ in range(200)))

    asyncio.run(ask_all())


def hooks(contender: str) -> None:
    """Twenty hooks for five services, one after the other, as a task builds them."""
    for number in range(20):
        CONTENDERS[contender](client_id()).get_token(SCOPES[number % len(SCOPES)])


def process(contender: str, folder: str = "") -> None:
    """One task process: it waits for the others, then asks for one token."""
    credential = ours(client_id(), folder) if contender == "ours" else CONTENDERS[contender](client_id())
    print("ready", flush=True)
    sys.stdin.readline()
    credential.get_token(STORAGE)


def latency() -> dict[str, dict[str, float]]:
    """Cold and warm tokens, medians in seconds; the contenders take turns, so that all see the same machine."""
    cold: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    credentials = {}
    clients = iter(os.environ["BENCH_CLIENT_IDS"].split(","))
    for turn in range(COLD_ROUNDS):
        # In each order as often as in any other: what came before warms the machine for what comes after.
        for name in list(itertools.permutations(CONTENDERS))[turn % 6]:
            client, begun = next(clients), time.perf_counter()
            credentials[name] = CONTENDERS[name](client)
            credentials[name].get_token(STORAGE)
            cold[name].append(time.perf_counter() - begun)
    warm = {name: statistics.median(_times(credential)) for name, credential in credentials.items()}
    # The first rounds also pay for what is imported at the first exchange.
    return {"cold": {name: statistics.median(times[2:]) for name, times in cold.items()}, "warm": warm}


def _times(credential: Any) -> Iterator[float]:
    for _ in range(2000):
        begun = time.perf_counter()
        credential.get_token(STORAGE)
        yield time.perf_counter() - begun


def sensors(contender: str) -> dict[str, float]:
    """Triggers of stock sensors in one event loop: how long until each has found its blob, and the memory."""
    # Airflow's own handler writes to where the result goes.
    logging.disable()
    account = "https://acct.blob.core.windows.net"
    ids = {"managed_identity_client_id": client_id(), "workload_identity_tenant_id": os.environ["AZURE_TENANT_ID"]}
    stock_connection = {"conn_type": "wasb", "host": account, "extra": ids}
    our_ids = {"clientId": client_id(), "tenantId": os.environ["AZURE_TENANT_ID"]}
    our_connection = {"conn_type": "azure_workload_identity", "extra": our_ids}
    os.environ["AIRFLOW_CONN_OURS"], os.environ["AIRFLOW_CONN_STOCK"] = map(
        json.dumps, (our_connection, stock_connection)
    )
    from airflow.providers.microsoft.azure.triggers.wasb import WasbBlobSensorTrigger

    from airflow_azure_wi import at

    conn_id = at("ours", account) if contender == "ours" else "stock"

    async def wait(number: int) -> None:
        async for event in WasbBlobSensorTrigger(CONTAINER, f"{number}.txt", wasb_conn_id=conn_id).run():
            if event.payload["status"] != "success":
                raise RuntimeError(event.payload["message"])

    async def wait_for_all() -> None:
        await asyncio.gather(*(wait(number) for number in range(SENSORS)))

    begun = time.perf_counter()
    asyncio.run(wait_for_all())
    return {"seconds": time.perf_counter() - begun, "MiB": _peak_memory()}


def imports(module: str) -> dict[str, float]:
    """What a module costs once airflow.sdk is there."""
    from airflow.sdk import BaseHook  # noqa: F401

    modules, begun = set(sys.modules), time.perf_counter()
    __import__(module)
    return {"ms": (time.perf_counter() - begun) * 1000, "modules": len(set(sys.modules) - modules)}


def memory(contender: str) -> float:
    """Peak memory (MiB) of a process that imports a contender and gets a token."""
    if contender != "nothing":
        CONTENDERS[contender](client_id()).get_token(STORAGE)
    return _peak_memory()


def _peak_memory() -> float:
    # Not getrusage: its peak includes that of the parent, before this program replaced it.
    [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    scenario, *arguments = sys.argv[1:]
    print(json.dumps(globals()[scenario](*arguments)))
