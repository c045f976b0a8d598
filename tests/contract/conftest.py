"""The Airflow of these tests."""

from pathlib import Path

import pytest

from tests.airflow_program import Airflow


@pytest.fixture(scope="session")
def airflow_with_test_dags(airflow: Airflow) -> Airflow:
    """The same Airflow, whose DAG folder holds the DAGs of these tests."""
    return Airflow(airflow.variables | {"AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags")})
