"""``connection``: make an Airflow connection from what the Azure CLI prints about an identity."""

import argparse
import sys
from dataclasses import replace

from airflow_azure_wi.cli.command import JSON, OK, Argument, Command, UsageError, cloud, output_format_of, read_text
from airflow_azure_wi.clouds import PUBLIC, names_of_clouds
from airflow_azure_wi.connection_formats import FORMATS, NewConnection, identity_from_az, problem_of_id

_DEFAULT_ID = "azure_workload_identity_default"

_DESCRIPTION = """\
Makes an Airflow connection from the JSON that `az identity create` or `az
identity show` prints. It holds ids and no secret.
"""

_EXAMPLES = """\
# For a shell, an .env file or a container:
az identity show --name airflow --resource-group data \\
    | {program} connection - --conn-id azure_wi

# Into Airflow's database:
{program} connection identity.json --conn-id azure_wi --format cli \\
    | bash

# A Secret for the official Helm chart:
{program} connection identity.json --format kubernetes \\
    | kubectl apply -f -
"""


def run(arguments: argparse.Namespace) -> int:
    """Print the connection."""
    output_format = output_format_of(arguments, default="env")
    if arguments.file == "-" and sys.stdin.isatty():
        raise UsageError("Nothing is piped in: give a FILE, or pipe `az identity show` into this command.")
    text, source = read_text(arguments.file)
    identity = identity_from_az(text, source=source)
    if arguments.cloud:
        identity = replace(identity, cloud=arguments.cloud)
    if problem := problem_of_id(arguments.conn_id, output_format):
        raise UsageError(f"{problem}.")
    connection = NewConnection.of(identity, arguments.conn_id, is_stock=arguments.stock)
    print(FORMATS[output_format](connection), end="")
    return OK


COMMAND = Command(
    name="connection",
    help="make an Airflow connection from what the Azure CLI prints",
    description=_DESCRIPTION,
    usage="[FILE] [--conn-id ID] [OPTION ...]",
    examples=_EXAMPLES,
    run=run,
    arguments=(
        Argument("file", metavar="FILE", nargs="?", default="-", help="the JSON (default: -, standard input)"),
        Argument("--conn-id", metavar="ID", default=_DEFAULT_ID, help=f"the connection's id (default: {_DEFAULT_ID})"),
        Argument(
            "--cloud",
            type=cloud,
            metavar="NAME",
            help=f"the cloud of the identity: {names_of_clouds()} (default: that in FILE, or {PUBLIC.name})",
        ),
        Argument(
            "--stock",
            action="store_true",
            help="make it of the stock type azure, as Astro's Environment Manager does; stock hooks sign in through "
            "this package where a DAG names the endpoint with at() or Airflow's configuration has "
            "serve_stock_connections = True",
        ),
        Argument("--format", choices=list(FORMATS), help="what to print (default: env)"),
        JSON,
    ),
)
