"""The commands for what is missing, wrong or extra on an identity, commented."""

from collections.abc import Iterator

from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.comparison import Comparison
from airflow_azure_wi.federation.credentials import Holder
from airflow_azure_wi.redaction import LONGEST_EXCERPT, excerpt


def render(holder: Holder, comparison: Comparison) -> str:
    """Return lines for a shell. What deletes is a comment: others may use what these workloads do not need."""
    return "".join(_lines(holder, comparison))


def _lines(holder: Holder, comparison: Comparison) -> Iterator[str]:
    if comparison.missing or comparison.wrong:
        yield "set -e\n"
    for credential in comparison.missing:
        yield f"# missing: {credential.subject}\n"
        yield commands.wrapped(commands.create(holder, credential))
    for wrong in comparison.wrong:
        yield f"# wrong: {wrong.existing.name}: {wrong.because}\n"
        yield commands.wrapped(commands.replace(holder, wrong.replacement))
    for existing in comparison.flexible:
        yield f"# matches by an expression, left as it is: {existing.name}: {_expression(existing.expression)}\n"
    for existing in comparison.extra:
        yield f"# extra, unless others use it: {existing.name}: {existing.subject} of {existing.issuer}\n"
        yield commands.wrapped(commands.delete(holder, existing.name), prefix="# ")


def _expression(expression: str | None) -> str:
    return excerpt(expression, longest=LONGEST_EXCERPT) if expression else "no expression is listed"
