"""The Airflow of these tests."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.airflow_program import Airflow

# Pages of plugins came with Airflow 3.1.
HAS_PAGE = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 1)
# Of the stock provider 15.3.
HAS_AI_SEARCH = find_spec("airflow.providers.microsoft.azure.hooks.ai_search") is not None
collect_ignore = [
    *([] if HAS_PAGE else ["test_page.py"]),
    *([] if HAS_AI_SEARCH else ["test_stock_15_3.py"]),
]


@pytest.fixture(scope="session")
def airflow_with_test_dags(airflow: Airflow) -> Airflow:
    """The same Airflow, whose DAG folder holds the DAGs of these tests."""
    return Airflow(airflow.variables | {"AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags")})
