"""Names that moved between Airflow versions."""

try:
    from airflow.sdk import Context
except ImportError:  # Airflow 2.11
    from airflow.utils.context import Context  # type: ignore[attr-defined,no-redef]

__all__ = ["Context"]
