"""The checks behind ``test_connection``, ``airflow-azure-wi doctor`` and the preflight DAG.

Each check says what it found, whether that is good, and what to do. No result ever holds a token.
"""

from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.examination import examine
from airflow_azure_wi.doctor.result import Remark, Report, Result, Status

__all__ = ["Case", "Remark", "Report", "Result", "Status", "examine"]
