"""Hours of rotation in minutes: lifetimes are scaled down, nothing inside the credential is mocked."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from airflow_azure_wi.auth import async_credential_for, credential_for
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import OfflineAzure

# One simulated hour lasts 36 seconds. Access tokens count in whole seconds, so it can hardly be less.
SCALE = 100
ROTATION_SECONDS = 600 / SCALE
ACCESS_TOKEN_SECONDS = 300 / SCALE
FEDERATED_TOKEN_SECONDS = 1200 / SCALE
ASKERS = 8
PAUSE_SECONDS = 0.002
# From the moment the file is read to the moment Entra has the request: an exchange that is under way at a rotation.
IN_FLIGHT_SECONDS = 0.25
SCOPES = ["https://storage.azure.com/.default", "https://vault.azure.net/.default"]


@dataclass
class Soak:
    """What askers and rotations leave behind."""

    until: float
    asked: int = 0
    failures: list[str] = field(default_factory=list)
    # By the id of a federated token: when it was replaced and when it expires.
    replaced_at: dict[str, float] = field(default_factory=dict)
    expires_at: dict[str, float] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether there is simulated time left."""
        return time.time() < self.until


def soak(home: Path, hours: int) -> dict[str, Any]:
    """Rotate for so many simulated hours while threads and coroutines ask all the time; return what went wrong."""
    print(f"\nSoak: {hours} simulated hours in {hours * 3600 / SCALE:.0f} s, {ASKERS} threads and {ASKERS} coroutines")
    with OfflineAzure(
        home / "soak",
        with_storage=False,
        token_lifetime=FEDERATED_TOKEN_SECONDS,
        access_token_lifetime=ACCESS_TOKEN_SECONDS,
    ) as azure:
        os.environ.update(azure.environment())
        state = Soak(until=time.time() + hours * 3600 / SCALE)
        workers = [threading.Thread(target=_rotate, args=(azure, state))]
        workers += [threading.Thread(target=_ask, args=(azure, state)) for _ in range(ASKERS)]
        workers += [threading.Thread(target=asyncio.run, args=(_ask_in_coroutines(azure, state),))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return _report(azure, state)


def _rotate(azure: OfflineAzure, state: Soak) -> None:
    present = _claims(azure)
    while state.goes_on:
        time.sleep(ROTATION_SECONDS)
        azure.projected_token.rotate()
        state.replaced_at[present["jti"]] = time.time()
        present = _claims(azure)
        state.expires_at[present["jti"]] = present["exp"]


def _claims(azure: OfflineAzure) -> dict[str, Any]:
    return jwt.decode(azure.projected_token.path.read_text(), options={"verify_signature": False})


def _credential(azure: OfflineAzure, build: Callable[..., Any]) -> Any:
    identity = WorkloadIdentity(azure.identity.client_id, azure.identity.tenant_id)
    return build(identity, Deployment.of(os.environ), used_by="the soak")


def _ask(azure: OfflineAzure, state: Soak) -> None:
    credential = _credential(azure, credential_for)
    while state.goes_on:
        try:
            _check(credential.get_token(SCOPES[state.asked % 2]).expires_on, state)
        except Exception as error:  # noqa: BLE001 - every failure is counted, whatever it is
            state.failures.append(str(error))
        time.sleep(PAUSE_SECONDS)


async def _ask_in_coroutines(azure: OfflineAzure, state: Soak) -> None:
    credential = _credential(azure, async_credential_for)

    async def ask() -> None:
        while state.goes_on:
            try:
                _check((await credential.get_token(SCOPES[state.asked % 2])).expires_on, state)
            except Exception as error:  # noqa: BLE001 - as above
                state.failures.append(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    await asyncio.gather(*(ask() for _ in range(ASKERS)))


def _check(expires_on: int, state: Soak) -> None:
    state.asked += 1
    if expires_on < time.time() - 1:
        state.failures.append(f"an access token that expired at {expires_on} was handed out")


def _report(azure: OfflineAzure, state: Soak) -> dict[str, Any]:
    exchanges = azure.entra.exchanges
    refused = [exchange.error_code for exchange in exchanges if exchange.error_code]
    late = [max(made.at - state.replaced_at.get(made.assertion_id, made.at), 0) for made in exchanges]
    stale = [seconds for seconds in late if seconds > IN_FLIGHT_SECONDS]
    expired = [made for made in exchanges if made.at > state.expires_at.get(made.assertion_id, made.at)]
    problems = [*state.failures[:5], *map(str, refused[:5])]
    problems += [f"an assertion was presented {seconds:.2f} s after its rotation" for seconds in stale[:5]]
    problems += ["an assertion was presented after its expiry"] * len(expired)
    print(
        f"{state.asked} tokens handed out, {len(exchanges)} exchanges, {len(state.replaced_at)} rotations; "
        f"{len(state.failures)} failed requests, {len(refused)} refused exchanges, {len(stale)} assertions presented "
        f"after their rotation (the latest {max(late, default=0) * 1000:.0f} ms after), {len(expired)} after expiry"
    )
    return {
        "handed_out": state.asked,
        "exchanges": len(exchanges),
        "rotations": len(state.replaced_at),
        "failed_requests": len(state.failures),
        "latest_presentation_after_rotation_ms": round(max(late, default=0) * 1000, 1),
        "problems": problems,
    }
