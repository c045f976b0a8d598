"""The same subcommands as ``airflow azure-workload-identity ...``, for Airflow 3.2 and later.

Airflow calls this whenever its command line starts, so it costs little: nothing of what a subcommand does is imported.
"""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_azure_wi import cli
from airflow_azure_wi.cli.command import Command

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

_GROUP = "azure-workload-identity"


def get_cli_commands() -> "list[CLICommand]":
    """Return the commands, in the form that Airflow makes its parser from."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    subcommands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog(f"airflow {_GROUP}"),
            func=_function(command),
            args=[Arg(argument.flags, **argument.options) for argument in command.arguments],  # type: ignore[no-untyped-call]
        )
        for command in cli.COMMANDS
    ]
    return [GroupCommand(name=_GROUP, help="Link workloads to an Azure identity", subcommands=subcommands)]


def _function(command: Command) -> Callable[[argparse.Namespace], None]:
    def run(arguments: argparse.Namespace) -> None:
        # Airflow ignores what its commands return.
        sys.exit(cli.run(command, arguments))

    return run
