"""Writes docs/reference/command-line.md from the command line's --help, configuration.md from the provider info."""

from __future__ import annotations

import contextlib
import io
import textwrap
from pathlib import Path

from airflow_azure_wi.cli import COMMANDS, main
from airflow_azure_wi.cli.command import PROGRAM
from airflow_azure_wi.provider import OPTIONS, Option, option_variable

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


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


if __name__ == "__main__":
    (REFERENCE / "command-line.md").write_text(command_line(), encoding="utf-8")
    (REFERENCE / "configuration.md").write_text(configuration(), encoding="utf-8")
