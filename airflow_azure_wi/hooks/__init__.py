"""What Airflow sees: the hook that turns a connection into Azure credentials and clients."""
