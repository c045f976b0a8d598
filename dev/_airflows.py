"""The Airflows that the package is tested with, and the pin file of each. Data only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "dev" / "pins"

Version = tuple[int, int]
# The Pythons that the package supports.
SUPPORTED: tuple[Version, ...] = ((3, 10), (3, 11), (3, 12), (3, 13))


@dataclass(frozen=True)
class Target:
    """One set of pinned packages: an Airflow, and what the package and its tests need beside it.

    `at_oldest`: the contract tests run on its oldest Python, not on its newest.
    `in_ci`: `.ci/run` has time for its contract tests.
    `in_browser`: tests/ui look at its page in a web browser.
    `held`: limits for packages whose newest versions break this Airflow, though it allows them; the only pre-releases.
    """

    airflow: str
    newest_python: Version
    fab: bool = False
    lowest: bool = False
    oldest_python: Version = (3, 10)
    at_oldest: bool = False
    in_ci: bool = False
    in_browser: bool = False
    held: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What pin files and cells are called by."""
        if self.lowest:
            return "lowest"
        return f"{self.airflow}-fab" if self.fab else self.airflow

    @property
    def pins(self) -> Path:
        """The file that fixes the version of every package."""
        return PINS / f"airflow-{self.name}.txt"

    @property
    def tested_python(self) -> Version:
        """The Python that the contract tests run on, if it is there."""
        return self.oldest_python if self.at_oldest else self.newest_python

    @property
    def is_prerelease(self) -> bool:
        """Whether it is a beta or a release candidate."""
        return not self.airflow.replace(".", "").isdecimal()

    def versions_of(self, package: str) -> list[str]:
        """Return the pinned versions of a package: more than one if Pythons differ, the one of the oldest first."""
        return re.findall(rf"(?m)^{re.escape(package)}==(\S+)", self.pins.read_text(encoding="utf-8"))

    def supports(self, python: Version) -> bool:
        """Whether this Airflow runs on that Python."""
        return self.oldest_python <= python <= self.newest_python

    @property
    def groups(self) -> tuple[str, ...]:
        """The dependency groups that its tests need."""
        return ("test", *(["ui"] if self.in_browser else []), *([] if self.lowest else ["parse"]))

    @property
    def requirements(self) -> tuple[str, ...]:
        """What is installed beside the package and its own dependencies."""
        airflow = f"apache-airflow=={self.airflow}"
        return (airflow, "apache-airflow-providers-fab") if self.fab else (airflow,)


MAIN = Target("3.3.2", newest_python=(3, 13), in_browser=True)
# Every lower bound in pyproject.toml at once. One Python is enough: the bounds do not depend on it.
LOWEST = Target(
    "2.11.0",
    newest_python=(3, 10),
    lowest=True,
    in_ci=True,
    held=(
        "flask-jwt-extended<4.7.2",  # newer ones need a newer PyJWT than they say
        "apache-airflow-providers-http<5.4",  # newer ones need a newer aiohttp than the bound to prove
        "universal-pathlib<0.3",  # with newer ones no ObjectStoragePath can be made; Airflow 2.11.2 has the same limit
    ),
)
HELD_3_0 = (
    "fastapi<0.118",  # newer ones refuse what a task of Airflow 3.0 reports; Airflow 3.1 has the same limit
    "universal-pathlib<0.3",  # with newer ones no ObjectStoragePath can be made; Airflow 3.1 has the same limit
    "alembic<1.18",  # newer ones log into the JSON that the command line prints
)
HELD_3_2 = (
    "fastapi<0.137",  # its API server does not start with newer ones; Airflow 3.3 has the same limit
    "svcs<26",  # with newer ones `airflow dags test` runs no task
)
# The beta, and the stock provider that comes with it.
HELD_3_4 = (
    "apache-airflow-core==3.4.0b2",
    "apache-airflow-task-sdk==1.4.0b2",
    "apache-airflow-providers-microsoft-azure==15.3.0rc1",
)

# Each Airflow without the FAB provider and with it: on both ends of its Pythons. `.ci/run` has time for one of the two,
# where the way to FAB has not changed much; .venv runs the tests with MAIN without it.
TARGETS = (
    # Brings the FAB provider itself.
    Target("2.11.2", newest_python=(3, 12), in_ci=True, in_browser=True),
    Target("3.0.6", newest_python=(3, 12), at_oldest=True, in_ci=True, in_browser=True, held=HELD_3_0),
    Target("3.0.6", newest_python=(3, 12), fab=True, held=HELD_3_0),
    Target("3.1.8", newest_python=(3, 13), at_oldest=True, in_ci=True, in_browser=True),
    Target("3.1.8", newest_python=(3, 13), fab=True),
    Target("3.2.2", newest_python=(3, 13), at_oldest=True, held=HELD_3_2, in_browser=True),
    Target("3.2.2", newest_python=(3, 13), fab=True, in_ci=True, held=HELD_3_2),
    MAIN,
    Target("3.3.2", newest_python=(3, 13), fab=True, at_oldest=True, in_ci=True),
    Target(
        "3.4.0b2",
        newest_python=(3, 13),
        oldest_python=(3, 11),
        at_oldest=True,
        in_ci=True,
        in_browser=True,
        held=HELD_3_4,
    ),
    Target("3.4.0b2", newest_python=(3, 13), oldest_python=(3, 11), fab=True, held=HELD_3_4),
    LOWEST,
)
