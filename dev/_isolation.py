"""The surroundings that tests run in: an environment's programs, and nothing of the person who runs them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A person's own Airflow, Azure sign-in or Python path must neither break a test nor make it pass.
_PERSONAL = ("AIRFLOW_", "AZURE_", "PYTHONPATH", "PYTHONHOME")


@contextmanager
def isolated(programs: Path) -> Iterator[dict[str, str]]:
    """The variables for a run of an environment's programs, with an Airflow home that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(_PERSONAL)}
        variables["AIRFLOW_HOME"] = home
        variables["VIRTUAL_ENV"] = str(programs.parent)
        variables["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        yield variables
