"""Stands for pyodbc, whose driver is not here: reads of a connection what Microsoft's driver would."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import jwt

_ACCESS_TOKEN = 1256  # SQL_COPT_SS_ACCESS_TOKEN of Microsoft's msodbcsql.h


def connect(connection_string: str, /, *, attrs_before: dict[int, bytes]) -> "Connection":
    [(attribute, packed)] = attrs_before.items()
    assert attribute == _ACCESS_TOKEN
    # struct AccessToken { unsigned int dataSize; char data[]; }
    (size,) = struct.unpack_from("<I", packed)
    data = packed[4:]
    assert size == len(data)
    claims = jwt.decode(data.decode("utf-16-le"), options={"verify_signature": False})
    seen = {"connection_string": connection_string, "claims": claims}
    (Path(os.environ["SEEN"]) / "pyodbc.jsonl").write_text(json.dumps(seen))
    return Connection()


class Connection:
    def execute(self, sql: str) -> Any:
        assert sql == "SELECT CURRENT_USER"
        return self

    def fetchval(self) -> str:
        return "airflow"

    def close(self) -> None:
        """Close nothing: there is no connection."""
