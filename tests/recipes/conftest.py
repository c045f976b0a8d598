"""Recipes, run by Airflow itself against the offline Azure and what a test lets answer in it."""

import ast
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.airflow_program import EXAMPLE_DAGS, Airflow

# One process for several DAGs: starting Airflow takes longer than all of them.
RUN = """
import json, os, sys
import certifi
from airflow.cli.cli_parser import get_parser

# Service Bus' client trusts no other certificates, unless its caller names some.
certifi.where = lambda: os.environ["SSL_CERT_FILE"]

for dag_id in sys.argv[1:]:
    arguments = get_parser().parse_args(["dags", "test", dag_id])
    try:
        code = arguments.func(arguments)
    except SystemExit as end:
        code = end.code
    print(json.dumps({"ended": dag_id, "code": code or 0}), flush=True)
"""

_RETURNED = re.compile(r"Done\. Returned value was: (.*?)(?: \[airflow|$)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """How a DAG run ended, and what Airflow said meanwhile."""

    succeeded: bool
    said: str

    @property
    def returned(self) -> list[Any]:
        """What its tasks returned, in the order in which they ran; fail the test if one failed."""
        assert self.succeeded, self.said
        return [_value(printed) for printed in _RETURNED.findall(self.said)]


RunRecipes = Callable[..., dict[str, Run]]


@pytest.fixture
def run_recipes(airflow: Airflow, workload_variables: Callable[..., dict[str, str]]) -> RunRecipes:
    """Run DAGs by their ids, one after the other in one process, with the connection ``azure_wi``."""

    def run(*dag_ids: str, **variables: str) -> dict[str, Run]:
        return run_dags(airflow, dag_ids, workload_variables() | variables)

    return run


def run_dags(airflow: Airflow, dag_ids: Sequence[str], variables: dict[str, str]) -> dict[str, Run]:
    """Run DAGs by their ids, one after the other in one process with these environment variables."""
    recipes = {"AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE_DAGS)}
    return dict(_runs(airflow.python(RUN, *dag_ids, **recipes | variables)))


def _value(printed: str) -> Any:
    try:
        return ast.literal_eval(printed)
    except (SyntaxError, ValueError):
        return printed  # text, which Airflow prints without quotes


def _runs(said: str) -> Any:
    lines: list[str] = []
    for line in said.splitlines():
        if line.startswith('{"ended": '):
            ended = json.loads(line)
            yield ended["ended"], Run(ended["code"] == 0, "\n".join(lines))
            lines = []
        else:
            lines.append(line)
