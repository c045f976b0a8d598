"""Reads the files that lie beside the tests."""

import json
from os.path import join
from pathlib import Path
from typing import Any


def load_file_from_resources(*locations: str, mode: str = "r", encoding: str | None = "utf-8") -> Any:
    """Return the content of a file, as text or, with another mode, as bytes."""
    path = Path(join(*locations))
    return path.read_bytes() if "b" in mode else path.read_text(encoding=encoding)


def load_json_from_resources(*locations: str) -> Any:
    """Return what a JSON file holds."""
    return json.loads(load_file_from_resources(*locations))
