"""Reading the values of a release of Airflow's Helm chart."""

from collections.abc import Mapping
from typing import Any

from airflow_azure_wi.cli._text import read_text
from airflow_azure_wi.cli.command import UsageError
from airflow_azure_wi.federation.chart import problems_of_values
from airflow_azure_wi.redaction import excerpt


def read_values(name: str) -> Mapping[str, Any]:
    """Return the values in a file, or in standard input for ``-``.

    :raises UsageError: if they are not those of a chart.
    """
    import yaml

    text, source = read_text(name)
    try:
        # What `helm get values` prints before the values, `USER-SUPPLIED VALUES:`, is a key without a value.
        values = yaml.safe_load(text.removeprefix("\ufeff"))
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{source} is not YAML: {excerpt(str(error))}") from None
    values = values or {}
    if problems := problems_of_values(values):
        raise UsageError(f"{source} does not hold values of Airflow's chart: {'; '.join(problems)}.")
    return dict(values)
