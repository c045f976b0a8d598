"""The deployment, as this process' environment and Airflow's configuration describe it.

Airflow's options are read once in a process, as Airflow itself reads most of its own: reading five takes as long as
fifty warm access tokens. Environment variables may change while a task runs, and are compared at each call.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.provider import CONFIG_SECTION, OPTIONS


def deployment() -> Deployment:
    """Return where the federated token is and where it is sent: the same object until one of its variables changes.

    :raises DeploymentError: names everything that is wrong with it, at once.
    """
    global _last_read  # noqa: PLW0603 - one for the process
    last = _last_read
    if last is None or not last.is_current():
        last = _last_read = _Read.now()
    return last.deployment


@cache
def options() -> Mapping[str, str]:
    """Return the options of Airflow's configuration, as they stood there when they were first asked for."""
    return {name: airflow_compat.configured(CONFIG_SECTION, name) for name in OPTIONS}


@cache
def serves_stock_connections() -> bool:
    """Return whether plain ids of stock connections that name a workload identity are served too."""
    try:
        return airflow_compat.configured_switch(CONFIG_SECTION, "serve_stock_connections", default=False)
    except Exception as error:  # noqa: BLE001 - other people's connections have nothing to do with it
        logging.getLogger(__name__).warning(
            "Airflow's configuration: %s Stock connections stay as they are without airflow-azure-wi.", error
        )
        return False


def start_over() -> None:
    """Forget what was read, so that the next call reads the options again: for tests that change them."""
    global _last_read  # noqa: PLW0603 - as above
    options.cache_clear()
    serves_stock_connections.cache_clear()
    _last_read = None


class _Read(NamedTuple):
    """A deployment, and the environment variables that it was read from: their names, and their values."""

    deployment: Deployment
    names: tuple[str, ...]
    values: tuple[str | None, ...]

    @classmethod
    def now(cls) -> "_Read":
        environment = _Recorded(os.environ)
        deployment = Deployment.of(environment, options())
        return cls(deployment, tuple(environment.asked_for), tuple(environment.asked_for.values()))

    def is_current(self) -> bool:
        return tuple(map(os.environ.get, self.names)) == self.values


class _Recorded(Mapping[str, str]):
    """An environment that writes down what was looked for, and what was found.

    :ivar asked_for: the values by name, None for what was not set.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.asked_for: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        self.asked_for[name] = self._environment.get(name)
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)


_last_read: _Read | None = None
