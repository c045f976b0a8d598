"""The command line ``airflow-azure-wi``: argument parsing and printing, nothing else.

It starts at once: a subcommand imports what it needs when it runs, and Airflow is imported only to read a connection.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from airflow_azure_wi import __version__
from airflow_azure_wi.cli import connection, doctor, link
from airflow_azure_wi.cli.command import EXIT_CODES, PROGRAM, UNUSABLE_INPUT, Command, help_format
from airflow_azure_wi.errors import WorkloadIdentityError
from airflow_azure_wi.redaction import excerpt

COMMANDS = (link.COMMAND, connection.COMMAND, doctor.COMMAND)

_DESCRIPTION = """\
Links Airflow's workloads to an Azure managed identity, makes the Airflow
connection from what the Azure CLI prints, and finds out why a sign-in fails.
It never prints a token.
"""

_EXAMPLES = """\
examples:
  {program} link --identity-name airflow --resource-group data \\
      --issuer https://oidc.example.com/ --helm airflow --namespace airflow \\
      | bash | {program} connection - --format env
  {program} doctor azure_wi

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parsed = parser().parse_args(arguments)
    return run(parsed.command, parsed)


def run(command: Command, arguments: argparse.Namespace) -> int:
    """Run a subcommand, and print what is wrong with its input instead of raising it."""
    try:
        return command.run(arguments)
    except WorkloadIdentityError as error:
        _complain(error, as_json=arguments.json)
        return UNUSABLE_INPUT
    except BrokenPipeError:
        # Whoever read the output has enough; Python would complain again when it flushes at exit.
        sys.stdout = None
        return 0


class _Parser(argparse.ArgumentParser):
    """Does not repeat a token that was given as an argument."""

    def error(self, message: str) -> NoReturn:
        super().error(excerpt(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = _Parser(
        PROGRAM,
        usage=f"{PROGRAM} [--help] [--version] COMMAND ...",
        description=_DESCRIPTION,
        epilog=_commands() + _EXAMPLES.format(program=PROGRAM) + EXIT_CODES,
        formatter_class=help_format,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    # Shown in the epilog instead: argparse breaks the longer names off from their help.
    subparsers = top.add_subparsers(prog=PROGRAM, metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            usage=f"{PROGRAM} {command.name} {command.usage}",
            description=command.description,
            epilog=command.epilog(PROGRAM),
            formatter_class=help_format,
        )
        subparser.set_defaults(command=command)
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, **argument.options)
    return top


def get_cli_commands() -> list[Any]:
    """Return the same subcommands for Airflow's own command line: ``airflow azure-workload-identity ...``.

    Airflow calls this whenever its command line starts, so nothing of what a subcommand does is imported.
    """
    from airflow_azure_wi.airflow_compat import command_group

    name = "azure-workload-identity"
    subcommands = [
        {
            "name": command.name,
            "help": command.help,
            "description": command.description,
            "epilog": command.epilog(f"airflow {name}"),
            # Airflow ignores what its commands return.
            "func": lambda arguments, command=command: sys.exit(run(command, arguments)),
            "args": [(argument.flags, argument.options) for argument in command.arguments],
        }
        for command in COMMANDS
    ]
    return [command_group(name, "Link workloads to an Azure identity", subcommands)]


def _commands() -> str:
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.help}\n" for command in COMMANDS]
    return f"commands (each has its own --help):\n{''.join(lines)}\n"


def _complain(error: WorkloadIdentityError, *, as_json: bool) -> None:
    problems = list(getattr(error, "problems", ()) or [str(error)])
    if as_json:
        print(json.dumps({"error": type(error).__name__, "problems": problems}, indent=2))
    else:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
