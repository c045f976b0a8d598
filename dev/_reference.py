"""Writes generated pages: command-line.md from --help, configuration.md from the provider info, versions from pins."""

from __future__ import annotations

import contextlib
import io
import textwrap
from itertools import groupby
from pathlib import Path

from _airflows import LOWEST, ROOT, TARGETS, Target, Version
from _stock import STOCK

from airflow_azure_wi.cli import COMMANDS, main
from airflow_azure_wi.cli.command import PROGRAM
from airflow_azure_wi.provider import OPTIONS, Option, option_variable

REFERENCE = ROOT / "docs" / "reference"
# Pages with the table of versions, and what is around it there.
WITH_VERSIONS = (ROOT / "README.md", REFERENCE / "versions.md")
BEGIN, END = "<!-- begin: made from dev/pins by ./dev/nox -s reference -->\n", "<!-- end -->"


def command_line() -> str:
    """Return the page: the help of the program, and of each subcommand."""
    parts = ["# Command line\n\nThis page is made from `--help` by `./dev/nox -s reference`."]
    for arguments in [[], *([command.name] for command in COMMANDS)]:
        title = " ".join([PROGRAM, *arguments])
        parts.append(f"## {title}\n\n```text\n{printed([*arguments, '--help']).strip()}\n```")
    return "\n\n".join(parts) + "\n"


def printed(arguments: list[str]) -> str:
    """Return what the command line prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main(arguments)
    return output.getvalue()


def configuration() -> str:
    """Return the page: what stands before its first option, and each option of the provider info."""
    introduction = (REFERENCE / "configuration.md").read_text(encoding="utf-8").partition("\n\n## ")[0]
    return "\n\n".join([introduction, *(describe(name, option) for name, option in OPTIONS.items())]) + "\n"


def describe(name: str, option: Option) -> str:
    """Return what there is to know of an option."""
    default = f"`{option.default}`" if option.default else "empty"
    allowed = f", one of {', '.join(f'`{value}`' for value in option.allowed)}" if option.allowed else ""
    facts = [
        f"- Type: {option.type}{allowed}. Default: {default}. Example: `{option.example}`.",
        f"- Variable: `{option_variable(name)}`.",
        f"- Since version {option.version_added}.",
    ]
    return f"## {name}\n\n{textwrap.fill(option.description, 120)}\n\n" + "\n".join(facts)


def with_versions(page: Path) -> str:
    """Return a page with the table of versions as the pins are now."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + versions() + END + rest.partition(END)[2]


def versions() -> str:
    """Return the table: each Airflow, the Pythons that it runs on, and what is pinned beside it."""
    rows: list[tuple[str, ...]] = [
        ("Airflow", "Python", "Tests run on", "Stock provider", "azure-identity"),
        ("---",) * 5,
    ]
    for _, found in groupby([LOWEST, *(target for target in TARGETS if target != LOWEST)], lambda each: each.airflow):
        rows.append(row_of(list(found)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def row_of(targets: list[Target]) -> tuple[str, ...]:
    """Return the row of an Airflow, with the FAB provider and without it."""
    first = targets[0]
    run = [numbered(target.tested_python) + (" with FAB" if target.fab else "") for target in targets]
    pythons = " to ".join(dict.fromkeys(map(numbered, (first.oldest_python, first.newest_python))))
    note = ", lowest versions of all" if first.lowest else ", pre-release" if first.is_prerelease else ""
    pinned = (", ".join(first.versions_of(package)) for package in (STOCK, "azure-identity"))
    return (first.airflow + note, pythons, ", ".join(run), *pinned)


def numbered(python: Version) -> str:
    """Return a Python as people write it."""
    return ".".join(map(str, python))


if __name__ == "__main__":
    (REFERENCE / "command-line.md").write_text(command_line(), encoding="utf-8")
    (REFERENCE / "configuration.md").write_text(configuration(), encoding="utf-8")
    for page in WITH_VERSIONS:
        page.write_text(with_versions(page), encoding="utf-8")
