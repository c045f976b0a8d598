"""Hours of rotation in minutes: lifetimes are scaled down, nothing inside the credential is mocked."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from azure.core.credentials import AccessToken

from airflow_azure_wi.auth import async_credential_for, credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import OfflineAzure

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
        # By the id of a federated token: when it was replaced and when it expires.
        self._replaced_at, self._expires_at = dict[str, float](), dict[str, float]()

    def run(self) -> None:
        """Return when the time is over."""
        workers = [threading.Thread(target=self._rotate), threading.Thread(target=asyncio.run, args=[self._ask_all()])]
        workers += [threading.Thread(target=self._ask) for _ in range(ASKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _goes_on(self) -> bool:
        return time.time() < self._until

    def _rotate(self) -> None:
        present = self._claims()
        while self._goes_on():
            time.sleep(600 / SCALE)
            self._azure.projected_token.rotate()
            self._replaced_at[present["jti"]] = time.time()
            present = self._claims()
            self._expires_at[present["jti"]] = present["exp"]

    def _claims(self) -> dict[str, Any]:
        return jwt.decode(self._azure.projected_token.path.read_text(), options={"verify_signature": False})

    def _credential(self, build: Callable[..., Any]) -> Any:
        identity = WorkloadIdentity(self._azure.identity.client_id, self._azure.identity.tenant_id)
        return build(identity, Deployment.of(os.environ), used_by="the soak")

    def _ask(self) -> None:
        credential = self._credential(credential_for)
        while self._goes_on():
            with self._counted():
                self._check(credential.get_token(SCOPES[self._asked % 2]))
            time.sleep(PAUSE_SECONDS)

    async def _ask_all(self) -> None:
        credential = self._credential(async_credential_for)

        async def ask() -> None:
            while self._goes_on():
                with self._counted():
                    self._check(await credential.get_token(SCOPES[self._asked % 2]))
                await asyncio.sleep(PAUSE_SECONDS)

        await asyncio.gather(*(ask() for _ in range(ASKERS)))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every failure is counted, whatever it is
            self._failures.append(str(error))

    def _check(self, token: AccessToken) -> None:
        self._asked += 1
        if token.expires_on < time.time() - 1:
            self._failures.append(f"an access token that expired at {token.expires_on} was handed out")

    def report(self) -> dict[str, Any]:
        """Say what went wrong."""
        exchanges = self._azure.entra.exchanges
        refused = [exchange.error_code for exchange in exchanges if exchange.error_code]
        late = [max(made.at - self._replaced_at.get(made.assertion_id, made.at), 0) for made in exchanges]
        stale = [seconds for seconds in late if seconds > IN_FLIGHT_SECONDS]
        expired = [made for made in exchanges if made.at > self._expires_at.get(made.assertion_id, made.at)]
        latest = round(max(late, default=0) * 1000, 1)
        problems = [*self._failures[:5], *map(str, refused[:5])]
        problems += [f"an assertion was presented {seconds:.2f} s after its rotation" for seconds in stale[:5]]
        problems += ["an assertion was presented after its expiry"] * len(expired)
        print(
            f"{self._asked} tokens handed out, {len(exchanges)} exchanges, {len(self._replaced_at)} rotations; "
            f"{len(self._failures)} failed requests, {len(refused)} refused exchanges, {len(stale)} assertions "
            f"presented after their rotation (the latest {latest:.0f} ms after), {len(expired)} after expiry"
        )
        counts = {"handed_out": self._asked, "exchanges": len(exchanges), "rotations": len(self._replaced_at)}
        failures = {"failed_requests": len(self._failures), "latest_presentation_after_rotation_ms": latest}
        return counts | failures | {"problems": problems}


def soak(home: Path, hours: int) -> dict[str, Any]:
    """Run it for so many simulated hours, with tokens of 20 and 5 simulated minutes; return what went wrong."""
    seconds = hours * 3600 / SCALE
    print(f"\nSoak: {hours} simulated hours in {seconds:.0f} s, {ASKERS} threads and {ASKERS} coroutines")
    federated, access = 1200 / SCALE, 300 / SCALE
    with OfflineAzure(home, with_storage=False, token_lifetime=federated, access_token_lifetime=access) as azure:
        os.environ.update(azure.environment())
        run = Soak(azure, seconds)
        run.run()
        return run.report()
