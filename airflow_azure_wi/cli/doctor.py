"""``doctor``: check why a workload can or cannot sign in."""

import argparse
import contextlib
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from airflow_azure_wi.cli.command import FAILED, JSON, OK, Argument, Command, UsageError
from airflow_azure_wi.errors import FederationError
from airflow_azure_wi.federation import IdentityResource
from airflow_azure_wi.redaction import excerpt, quoted

if TYPE_CHECKING:
    from airflow_azure_wi.doctor import DoctorContext

_DESCRIPTION = """\
Run it where the workload runs. It makes every check that it can: identity,
environment, token file, federated token, the network path to Microsoft Entra
ID, the token exchange, and the access token. If Entra refuses the exchange, the
report ends with the command that makes it accept this workload's token.
"""

_EXAMPLES = """\
# In a pod, from its environment alone (AZURE_CLIENT_ID, AZURE_TENANT_ID):
{program} doctor

# As the identity of an Airflow connection:
{program} doctor azure_wi

# And read a storage account, and a subscription:
{program} doctor azure_wi --scope https://acct.blob.core.windows.net \\
    --subscription 0b1f6471-1bf0-4dda-aec3-cb9272f09590
"""


def run(arguments: argparse.Namespace) -> int:
    """Print the report."""
    from airflow_azure_wi.doctor import examine

    # What it says of a refusal is in the report, and better.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    context = _context(arguments, _resource(arguments))
    report = examine(context, scopes=arguments.scope, subscription_id=arguments.subscription)
    print(json.dumps(report.as_json(), indent=2) if arguments.json else report.as_text(), end="")
    return OK if report.is_ok else FAILED


def _not_found(conn_id: str, error: LookupError) -> str:
    from airflow_azure_wi import airflow_compat

    name = quoted(conn_id)
    if problem := airflow_compat.problem_of_database():
        return (
            f"Airflow finds no connection {name} in environment variables and secrets backends, and its database "
            f"cannot be read from here ({excerpt(problem)}). Workers of Airflow 3 have no access to it: only a task "
            "can read connections there. Run the DAG azure_workload_identity_preflight with the connection's id, or "
            "examine the environment: airflow-azure-wi doctor, without an id."
        )
    return f"Airflow has no connection {name}: {excerpt(str(error))}. Check the id with `airflow connections list`."


def _resource(arguments: argparse.Namespace) -> IdentityResource | None:
    given = (arguments.identity_name, arguments.resource_group)
    if not any(given):
        return None
    if not all(given):
        raise UsageError("--identity-name and --resource-group go together: give both or none.")
    resource = IdentityResource(*given)
    if problems := list(resource.problems()):
        raise FederationError(problems)
    return resource


def _context(arguments: argparse.Namespace, resource: IdentityResource | None) -> "DoctorContext":
    from airflow_azure_wi.doctor import DoctorContext

    if arguments.conn_id is None:
        return DoctorContext.of(None, environment=os.environ, resource=resource)
    # Airflow may log to standard output while it starts, which is for the report alone.
    with contextlib.redirect_stdout(sys.stderr):
        from airflow_azure_wi import airflow_compat

        try:
            connection = airflow_compat.stored_connection(arguments.conn_id)
        except LookupError as error:
            raise UsageError(_not_found(arguments.conn_id, error)) from None
        return DoctorContext.in_airflow(connection, resource=resource)


COMMAND = Command(
    name="doctor",
    help="check why a workload can or cannot sign in",
    description=_DESCRIPTION,
    usage="[CONN_ID] [OPTION ...]",
    examples=_EXAMPLES,
    run=run,
    arguments=(
        Argument(
            "conn_id",
            metavar="CONN_ID",
            nargs="?",
            help="an Airflow connection; without one, the environment names the identity",
        ),
        Argument(
            "--scope",
            action="append",
            default=[],
            help="also get a token for this scope, such as https://vault.azure.net/.default, or list a storage account "
            "or container, such as https://ACCOUNT.blob.core.windows.net; may be repeated",
        ),
        Argument("--subscription", metavar="ID", help="also check that this subscription is visible"),
        Argument(
            "--identity-name",
            metavar="NAME",
            help="the name of the managed identity, for the proposed command; without it, that command looks the "
            "identity up by its client id",
        ),
        Argument("--resource-group", metavar="GROUP", help="its resource group"),
        JSON,
    ),
)
