"""A report as people read it: plain text, 80 columns, commands at the end where they can be copied."""

import textwrap
from collections.abc import Iterator

from airflow_azure_wi.doctor.result import Report, Result, Status
from airflow_azure_wi.redaction import escaped

_WIDTH = 80
_LINK = "This makes Microsoft Entra ID accept the federated token of this workload."
_RUN_IT = "Run it in a shell where the Azure CLI is signed in; it takes a few minutes to work:"
_ROLE = "This assigns the role."
_MARKS = {Status.OK: "ok", Status.WARNING: "WARNING", Status.FAILED: "FAILED", Status.SKIPPED: "skipped"}


def render(report: Report) -> str:
    """Return the report; what it ends with is what to do first."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"Examining {escaped(report.about)}"
    yield ""
    for result in report.results:
        yield from _lines_of(result)
    yield ""
    yield _wrapped(_verdict(report))
    for result in report.failed():
        for command in result.commands:
            yield ""
            yield _wrapped(f"{_ROLE if result.name == 'reading' else _LINK} {_RUN_IT}")
            yield ""
            yield command
    if report.remark is not None and report.is_ok:
        yield ""
        yield _wrapped(report.remark.text)
        for command in report.remark.commands:
            yield ""
            yield command


def _lines_of(result: Result) -> Iterator[str]:
    margin = " " * 27
    first = f"{_MARKS[result.status]:<9}{result.name:<18}"
    paragraphs = result.found.splitlines() or [""]
    if result.next_step:
        paragraphs.append(f"Next step: {result.next_step}")
    for number, paragraph in enumerate(paragraphs):
        # Whoever made a result has escaped what is from outside; a terminal gets nothing else in any case.
        yield _wrapped(escaped(paragraph), first if number == 0 else margin, margin)


def _wrapped(paragraph: str, first: str = "", margin: str = "") -> str:
    # Not within URLs, subjects and paths: they are there to be compared and copied.
    return textwrap.fill(
        paragraph,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _verdict(report: Report) -> str:
    failed = [result.name for result in report.failed()]
    if failed:
        return f"Failed: {', '.join(failed)}."
    return report.signed_in or "Nothing failed, but no sign-in was made."
