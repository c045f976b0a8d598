"""What a subcommand is: data, so that argparse, Airflow's own command line and the documentation all read the same."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_azure_wi import connection_formats
from airflow_azure_wi.clouds import Cloud, cloud_named, names_of_clouds
from airflow_azure_wi.errors import WorkloadIdentityError
from airflow_azure_wi.redaction import quoted

PROGRAM = "airflow-azure-wi"

OK = 0
FAILED = 1
UNUSABLE_INPUT = 2
OVER_LIMIT = 3

EXIT_CODES = """\
exit codes:
  0  success
  1  a check failed, or something differs from what was expected
  2  the arguments or the input are not valid
  3  more federated identity credentials than one identity can hold
"""


class UsageError(WorkloadIdentityError):
    """The arguments contradict each other, or name what cannot be used."""


class Argument:
    """An argument of a subcommand: its flags, and its options for argparse."""

    def __init__(self, *flags: str, **options: Any) -> None:
        self.flags = flags
        self.options = options


@dataclass(frozen=True)
class Command:
    """A subcommand.

    :param help: one line.
    :param description: what it does, wrapped to 80 columns.
    :param usage: its arguments in short.
    :param examples: lines of shell.
    :param run: does it, and returns the exit code.
    """

    name: str
    help: str
    description: str
    usage: str
    examples: str
    arguments: tuple[Argument, ...]
    run: Callable[[argparse.Namespace], int]

    def epilog(self, program: str) -> str:
        """Return what the help ends with, for the program by whose name it is called."""
        examples = self.examples.format(program=program)
        return f"examples:\n{_indented(examples)}\n{EXIT_CODES}"


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


def help_format(prog: str) -> argparse.HelpFormatter:
    """Return a formatter that keeps line breaks and fits 80 columns wherever it runs."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=80)


def cloud(name: str) -> Cloud:
    """Return the cloud that an argument names, for argparse."""
    if named := cloud_named(name):
        return named
    raise argparse.ArgumentTypeError(f"{quoted(name)} is not an Azure cloud, expected one of {names_of_clouds()}")


JSON = Argument("--json", action="store_true", help="print JSON, for programs")


def output_format_of(arguments: argparse.Namespace, *, default: str) -> str:
    """Return what ``--format`` and ``--json`` ask for."""
    if arguments.json and arguments.format not in (None, "json"):
        raise UsageError(f"--json and --format {arguments.format} are mutually exclusive: give one of them.")
    return "json" if arguments.json else str(arguments.format or default)


def read_text(name: str) -> tuple[str, str]:
    """Return the text of a file (or of standard input, for ``-``) and its name in messages.

    :raises UsageError: if there is no such text.
    """
    try:
        if name == "-":
            return connection_formats.decode(sys.stdin.buffer.read()), "standard input"
        return connection_formats.decode(Path(name).read_bytes()), f"file {quoted(name)}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it does not hold text"
        raise UsageError(f"{quoted(name)} cannot be read: {reason}. Give a file, or - for standard input.") from None
