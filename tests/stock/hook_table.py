"""What these tests found to work, as the table in docs/reference/stock-hooks.md."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "stock-hooks.md"
BEGIN, END = "<!-- begin: written by tests/stock -->", "<!-- end -->"
WRITE = "AIRFLOW_AZURE_WI_WRITE_DOCS"


@dataclass(frozen=True, order=True)
class ServedHook:
    """A request of a stock hook that reached a server with an access token of the right identity and audience."""

    connection_type: str
    hook: str
    way: str
    server: str
    audience: str


def written(served: Iterable[ServedHook]) -> str:
    """Return the part of the page between the marks."""
    rows = [
        f"| `{hook.connection_type}` | `{hook.hook}`, {hook.way} | `{hook.server}` | `{hook.audience}` |"
        for hook in sorted(set(served))
    ]
    return "\n".join(
        [
            f"Stock provider {version('apache-airflow-providers-microsoft-azure')}, "
            f"Airflow {version('apache-airflow')}:",
            "",
            "| Connection type | Hook | Request reached | Audience of its access token |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


def on_the_page() -> str:
    """Return what the page has between the marks."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def rows(table: str) -> list[str]:
    """Return its lines but for the one that names the versions: the rest holds for other versions, too."""
    return [line for line in table.splitlines() if line.startswith("|")]


def write(table: str) -> None:
    """Replace it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


def is_to_be_written() -> bool:
    """Whether the page is to be made from this run (nox -s reference asks for it)."""
    return os.environ.get(WRITE) == "1"
