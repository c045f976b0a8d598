"""What these tests found to work, as the table in docs/reference/stock-hooks.md."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "stock-hooks.md"
BEGIN, END = "<!-- begin: written by tests/stock -->", "<!-- end -->"
WRITE = "AIRFLOW_AZURE_WI_WRITE_DOCS"

# What answered, as the page explains it.
RECORDER = "recorder"
AZURITE = "Azurite"
STAND_IN = "stand-in"
REAL = "real server"
NO_SERVER = "none"


@dataclass(frozen=True, order=True)
class ServedHook:
    """A request of a stock hook that reached a server with an access token of the right identity and audience.

    :param provider: its name, without what all providers begin with.
    :param hook: its module below the provider's, and its class or function.
    :param server: the host that it was meant for, or what was reached.
    :param answered_by: which kind of server that was.
    """

    provider: str
    connection_type: str
    hook: str
    way: str
    server: str
    answered_by: str
    audience: str

    @property
    def row(self) -> str:
        """The row of the table."""
        # Four columns: in more, each name would be cut into several lines.
        cells = (
            f"`{self.hook}`, {self.way}",
            f"`{self.connection_type}`, {self.provider} {version(f'apache-airflow-providers-{self.provider}')}",
            f"`{self.server}`, {self.answered_by}",
            f"`{self.audience}`",
        )
        return f"| {' | '.join(cells)} |"


def written(served: Iterable[ServedHook]) -> str:
    """Return the part of the page between the marks."""
    return "\n".join(
        [
            f"Airflow {version('apache-airflow')}:",
            "",
            "| Hook | Connection type, provider | Request for, answered by | Audience of its access token |",
            "| --- | --- | --- | --- |",
            *(hook.row for hook in sorted(set(served))),
        ]
    )


def on_the_page() -> str:
    """Return what the page has between the marks."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def rows(table: str) -> list[tuple[str, ...]]:
    """Return its rows but for the versions, as all else holds for other versions, too."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    return [(hook, re.sub(r" [^ ]+$", "", provider), *more) for hook, provider, *more in cells]


def write(table: str) -> None:
    """Replace it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


def is_to_be_written() -> bool:
    """Whether the page is to be made from this run (nox -s reference asks for it)."""
    return os.environ.get(WRITE) == "1"
