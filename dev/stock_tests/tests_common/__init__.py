"""Stands for the package of Airflow's own repository that the stock provider's tests import; it is not released."""
