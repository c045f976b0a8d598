"""Prints what a new process that has airflow.sdk pays for its first access token, as JSON: _bench_costs.py CONTENDER.

A contender gets its credential as its users do: ours and stock ones from a hook, raw ones from azure-identity.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from time import process_time
from timeit import repeat, timeit

CONTENDERS = {
    "ours": (
        "from airflow_azure_wi import AzureWorkloadIdentityHook",
        "AzureWorkloadIdentityHook('ours').get_credential()",
    ),
    "raw": ("from azure.identity import WorkloadIdentityCredential", "WorkloadIdentityCredential()"),
    "stock": (
        "from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook",
        "AzureBaseHook(conn_id='stock').get_credential()",
    ),
}


def measure(contender: str) -> dict[str, float]:
    """Milliseconds of CPU for its import and for the first token with it, MiB, and microseconds for a warm token."""
    from airflow.sdk import BaseHook  # noqa: F401

    begin, credential = CONTENDERS[contender]
    ask = "credential.get_token('https://storage.azure.com/.default')"
    memory = peak_memory()
    imports = timeit(begin, number=1, timer=process_time)
    first = imports + timeit(f"{begin}; credential = {credential}; {ask}", number=1, timer=process_time)
    memory = peak_memory() - memory
    warm = statistics.median(repeat(ask, f"{begin}; credential = {credential}; {ask}", number=1, repeat=2000))
    return {"import": imports * 1e3, "first": first * 1e3, "memory": memory, "warm": warm * 1e6}


def peak_memory() -> float:
    """Not by getrusage: its peak includes that of the parent, before this program replaced it."""
    [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
