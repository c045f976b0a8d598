"""The commands for what is missing, wrong or superfluous on a managed identity, commented."""

import shlex
from collections.abc import Iterator

from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.comparison import Comparison
from airflow_azure_wi.federation.credentials import IdentityResource


def render(identity: IdentityResource, comparison: Comparison) -> str:
    """Return lines for bash. What deletes is a comment: others may use what is superfluous to these workloads."""
    return "".join(f"{line}\n" for line in _lines(identity, comparison))


def _lines(identity: IdentityResource, comparison: Comparison) -> Iterator[str]:
    for credential in comparison.missing:
        yield f"# missing: {credential.subject}"
        yield shlex.join(commands.create(identity, credential))
    for wrong in comparison.wrong:
        yield f"# wrong: {wrong.existing.name}: {wrong.because}"
        yield shlex.join(commands.create(identity, wrong.replacement))
    for existing in comparison.superfluous:
        yield f"# superfluous, unless others use it: {existing.name}: {existing.subject} of {existing.issuer}"
        yield f"# {shlex.join(commands.delete(identity, existing.name))}"
