"""A connection as Airflow hands it out, for tests that need no Airflow."""

import json
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.provider import CONNECTION_TYPE


@dataclass(frozen=True)
class StoredConnection:
    """The fields of a connection that say who signs in.

    :param extra: the text that is stored, or what is stored as JSON.
    """

    extra: Any = None
    conn_id: str = "azure_wi"
    conn_type: str | None = CONNECTION_TYPE
    login: str | None = None
    schema: str | None = None

    def __post_init__(self) -> None:
        """Store JSON as text."""
        if self.extra is not None and not isinstance(self.extra, str):
            object.__setattr__(self, "extra", json.dumps(self.extra))
