"""Keeping access tokens out of the task's logs, once for each: in a task, masking is a round trip to the supervisor."""

import os

from airflow_azure_wi import airflow_compat

# A token is remembered by its hash, so that none is kept in memory for this. When there are too many, all are forgotten
# and masked again when they are next handed out.
MOST_REMEMBERED = 1000

_masked: set[int] = set()


def mask_once(token: str) -> None:
    """Keep an access token out of the task's logs, unless this process has seen to it."""
    if hash(token) not in _masked:
        airflow_compat.mask_secret(token)
        _remember(token)


async def amask_once(token: str) -> None:
    """Do what :func:`mask_once` does, without blocking the event loop."""
    if hash(token) not in _masked:
        await airflow_compat.amask_secret(token)
        _remember(token)


def _remember(token: str) -> None:
    if len(_masked) >= MOST_REMEMBERED:
        _masked.clear()
    _masked.add(hash(token))


# A forked task has a supervisor of its own, which has been told nothing.
os.register_at_fork(after_in_child=_masked.clear)
