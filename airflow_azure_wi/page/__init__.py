"""The page *Admin > Azure Workload Identity* in Airflow 3.1 and later: link, connect, check."""
