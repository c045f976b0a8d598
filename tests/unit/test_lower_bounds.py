"""The lowest versions that pyproject.toml allows are those that nox -s versions -t lowest runs with."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# The lists of what that cell installs; the other groups are for one script each, with the newest Airflow.
LISTS = re.findall(r"(?ms)^(?:dependencies|testing|test) = \[$(.*?)^\]$", (ROOT / "pyproject.toml").read_text())
BOUNDS = re.findall(r'(?m)^    "([\w.-]+)(?:\[\w+\])?>=([\d.]+)"', "".join(LISTS))
PINS = dict(line.split("==") for line in (ROOT / "dev/pins/airflow-lowest.txt").read_text().split())


@pytest.mark.parametrize(("name", "bound"), sorted(set(BOUNDS)))
def test_the_lowest_cell_has_each_lower_bound(name: str, bound: str) -> None:
    assert f"{PINS[name.lower()]}.0.0".startswith(f"{bound}.")
