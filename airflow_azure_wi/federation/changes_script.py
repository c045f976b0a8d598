"""The commands for what is missing, wrong or extra on an identity, commented."""

from collections.abc import Iterator

from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.comparison import Comparison
from airflow_azure_wi.federation.credentials import Holder
from airflow_azure_wi.redaction import LONGEST_EXCERPT, excerpt


def render(holder: Holder, comparison: Comparison) -> str:
    """Return lines for a shell. What deletes an extra one is a comment: others may use what is not needed here."""
    return "".join(_lines(holder, comparison))


def _lines(holder: Holder, comparison: Comparison) -> Iterator[str]:
    if comparison.missing or comparison.wrong:
        yield commands.BEGIN
    for credential in comparison.missing:
        yield f"# missing: {credential.subject}\n"
        yield commands.wrapped(commands.create(holder, credential))
    for wrong in comparison.wrong:
        yield f"# wrong: {wrong.existing.name}: {wrong.because}\n"
        if wrong.differs_in_case_only:
            # Editing has not helped, creating again has: https://github.com/Redth/mobile-canvas-ghcp/pull/50. No token
            # matches it as it is, so nobody else uses it.
            yield commands.wrapped(commands.delete(holder, wrong.existing.name))
            yield commands.wrapped(commands.create(holder, wrong.replacement))
        else:
            yield commands.wrapped(commands.replace(holder, wrong.replacement))
    if comparison.missing or comparison.wrong:
        yield commands.END
    for existing in comparison.flexible:
        yield f"# matches by an expression, left as it is: {existing.name}: {_expression(existing.expression)}\n"
    for existing in comparison.extra:
        yield f"# extra, unless others use it: {existing.name}: {existing.subject} of {existing.issuer}\n"
        yield commands.wrapped(commands.delete(holder, existing.name), prefix="# ")


def _expression(expression: str | None) -> str:
    return excerpt(expression, longest=LONGEST_EXCERPT) if expression else "no expression is listed"
