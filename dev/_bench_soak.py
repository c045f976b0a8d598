"""Hours of rotation in minutes: lifetimes are scaled down, nothing inside the credential is mocked."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken

from airflow_azure_wi.auth import async_credential_for, credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import OfflineAzure
from airflow_azure_wi.tokens import unverified_claims

# One simulated hour lasts 36 seconds. Access tokens count in whole seconds, so it can hardly be less.
SCALE = 100
ASKERS = 8
PAUSE_SECONDS = 0.002
# From the moment the file is read to the moment Entra has the request: an exchange that is under way at a rotation.
IN_FLIGHT_SECONDS = 0.25
SCOPES = ["https://storage.azure.com/.default", "https://vault.azure.net/.default"]


class Soak:
    """Rotations, and threads and coroutines that ask all the time."""

    def __init__(self, azure: OfflineAzure, seconds: float) -> None:
        self._azure, self._until = azure, time.time() + seconds
        self._asked, self._failures = 0, list[str]()
        # By the id of a federated token.
        self._replaced_at = dict[str, float]()

    def run(self) -> dict[str, Any]:
        """Return what happened, and what went wrong, when the time is over."""
        work = [self._rotate, lambda: asyncio.run(self._ask_all()), *[self._ask] * ASKERS]
        workers = [threading.Thread(target=target) for target in work]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return self._report()

    def _goes_on(self) -> bool:
        return time.time() < self._until

    def _rotate(self) -> None:
        while self._goes_on():
            time.sleep(600 / SCALE)
            replaced = unverified_claims(self._azure.projected_token.path.read_text()) or {}
            self._azure.projected_token.rotate()
            self._replaced_at[replaced["jti"]] = time.time()

    def _credential(self, build: Callable[..., Any]) -> Any:
        identity = WorkloadIdentity(self._azure.identity.client_id, self._azure.identity.tenant_id)
        return build(identity, Deployment.of(os.environ), used_by="the soak")

    def _ask(self) -> None:
        credential = self._credential(credential_for)
        while self._goes_on():
            try:
                self._check(credential.get_token(SCOPES[self._asked % 2]))
            except Exception as error:  # noqa: BLE001 - every failure is counted, whatever it is
                self._failures.append(str(error))
            time.sleep(PAUSE_SECONDS)

    async def _ask_all(self) -> None:
        credential = self._credential(async_credential_for)

        async def ask() -> None:
            while self._goes_on():
                try:
                    self._check(await credential.get_token(SCOPES[self._asked % 2]))
                except Exception as error:  # noqa: BLE001 - the same
                    self._failures.append(str(error))
                await asyncio.sleep(PAUSE_SECONDS)

        await asyncio.gather(*(ask() for _ in range(ASKERS)))

    def _check(self, token: AccessToken) -> None:
        self._asked += 1
        if token.expires_on < time.time() - 1:
            self._failures.append(f"an access token that expired at {token.expires_on} was handed out")

    def _report(self) -> dict[str, Any]:
        exchanges = self._azure.entra.exchanges
        # Entra refuses a federated token that has expired.
        refused = [exchange.error_code for exchange in exchanges if exchange.error_code]
        late = [made.at - self._replaced_at.get(made.assertion_id, made.at) for made in exchanges]
        stale = [
            f"an assertion was presented {after:.2f} s after its rotation"
            for after in late
            if after > IN_FLIGHT_SECONDS
        ]
        counts = {
            "handed_out": self._asked,
            "exchanges": len(exchanges),
            "rotations": len(self._replaced_at),
            "failed_requests": len(self._failures),
            "refused_exchanges": len(refused),
            "presented_after_rotation": len(stale),
            "latest_presentation_after_rotation_ms": round(max(late, default=0) * 1000, 1),
        }
        print(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items()))
        return {**counts, "problems": [*map(str, refused[:5]), *self._failures[:5], *stale[:5]]}


def soak(home: Path, hours: int) -> dict[str, Any]:
    """Run it for so many simulated hours, with tokens of 20 and 5 simulated minutes; return what went wrong."""
    seconds = hours * 3600 / SCALE
    print(f"\nSoak: {hours} simulated hours in {seconds:.0f} s, {ASKERS} threads and {ASKERS} coroutines", flush=True)
    federated, access = 1200 / SCALE, 300 / SCALE
    with OfflineAzure(home, with_storage=False, token_lifetime=federated, access_token_lifetime=access) as azure:
        os.environ.update(azure.environment())
        return Soak(azure, seconds).run()
