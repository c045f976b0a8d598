"""PostgreSQL Flexible Server: query a database with an access token as the password, in two ways.

`with_the_stock_provider` needs its own connection:
AIRFLOW_CONN_AZURE_POSTGRESQL='{"conn_type": "postgres", "host": "acct.postgres.database.azure.com", "login": "airflow",
"schema": "sales", "extra": {"iam": true, "azure_conn_id": "azure_wi", "sslmode": "verify-full"}}'

Install: `apache-airflow-providers-postgres` for that, `psycopg[binary]` for `with_psycopg`. Both need
`PGSSLROOTCERT=/etc/ssl/certs/ca-certificates.crt` in the environment of the workers.
Grant, in the database `postgres`, as the server's Entra administrator: `SELECT * FROM
pgaadauth_create_principal('airflow', false, false);` (`airflow` is the name of the managed identity).
Tested by running it against Debian's PostgreSQL with TLS, which validates the access token as Azure does.
"""

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_postgresql():
    with_the_stock_provider = SQLExecuteQueryOperator(
        task_id="with_the_stock_provider", conn_id="azure_postgresql", sql="SELECT current_user"
    )

    @task
    def with_psycopg():
        import psycopg

        hook = AzureWorkloadIdentityHook("azure_wi")
        with psycopg.connect(
            host="acct.postgres.database.azure.com",
            dbname="sales",
            user="airflow",
            password=hook.get_token("https://ossrdbms-aad.database.windows.net/.default").token,
            sslmode="verify-full",
        ) as connection:
            return connection.execute("SELECT current_user").fetchall()

    with_the_stock_provider >> with_psycopg()


recipe_postgresql()
