"""Lets the Azure CLI's own parser read commands, each a JSON array on a line; runs in .venvs/tools.

Nothing is run. What the parser refuses ends this program, with az's own message.
"""

import json
import sys
from typing import Any

from azure.cli.core import get_default_cli
from azure.cli.core.commands.events import EVENT_INVOKER_PRE_LOAD_ARGUMENTS


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Return what the Azure CLI understands of the arguments after ``az``."""
    cli = get_default_cli()
    invocation = cli.invocation_cls(
        cli_ctx=cli, parser_cls=cli.parser_cls, commands_loader_cls=cli.commands_loader_cls, help_cls=cli.help_cls
    )
    cli.invocation = invocation
    loader = invocation.commands_loader
    loader.load_command_table(arguments)
    command = invocation._rudimentary_get_command(arguments)
    invocation.data["command_string"] = command
    loader.command_name = command
    loader.command_table = {command: loader.command_table[command]}
    # It adds --subscription.
    cli.raise_event(EVENT_INVOKER_PRE_LOAD_ARGUMENTS, commands_loader=loader)
    loader.load_arguments(command)
    invocation.parser.load_command_table(loader)
    values = vars(invocation.parser.parse_args(arguments))
    return {name: _plain(value) for name, value in values.items()} | {"command": command}


def _plain(value: Any) -> Any:
    """Return a value as it was given: newer commands of az keep what is to be done with it instead."""
    operations = getattr(value, "_ops", None)
    return operations[-1][-1] if operations else value


if __name__ == "__main__":
    print(json.dumps([parsed(json.loads(line)) for line in sys.stdin], default=str))
