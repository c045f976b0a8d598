"""The lowest versions that pyproject.toml allows are those that the cell ``lowest`` of dev/compat runs with."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BOUNDS = re.findall(r'^    "([\w.-]+)(?:\[\w+\])?>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
PINS = dict(line.split("==") for line in (ROOT / "dev/pins/airflow-lowest.txt").read_text().split())


@pytest.mark.parametrize(("name", "bound"), sorted(set(BOUNDS)))
def test_the_lowest_cell_has_each_lower_bound(name: str, bound: str) -> None:
    assert f"{PINS[name.lower()]}.0.0".startswith(f"{bound}.")
