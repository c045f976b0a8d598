"""Azure SQL: query a database over ODBC, with an access token.

Install: `pyodbc`, and Microsoft's ODBC Driver 18 in the workers' image. Grant, in the database, as its Entra
administrator: `CREATE USER [airflow] FROM EXTERNAL PROVIDER; ALTER ROLE db_datareader ADD MEMBER [airflow];`
(`airflow` is the name of the managed identity).
Not run against Azure SQL or with the driver. Tested by running it with a stand-in for `pyodbc` that reads the token
from the bytes that the driver would get.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

SQL_COPT_SS_ACCESS_TOKEN = 1256
DATABASE = "Driver={ODBC Driver 18 for SQL Server};Server=tcp:acct.database.windows.net,1433;Database=sales;Encrypt=yes"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_azure_sql():
    @task
    def who_am_i():
        import struct
        from contextlib import closing

        import pyodbc

        hook = AzureWorkloadIdentityHook("azure_wi")
        token = hook.get_token("https://database.windows.net/.default").token.encode("utf-16-le")
        attributes = {SQL_COPT_SS_ACCESS_TOKEN: struct.pack(f"<i{len(token)}s", len(token), token)}
        with closing(pyodbc.connect(DATABASE, attrs_before=attributes)) as connection:
            return connection.execute("SELECT CURRENT_USER").fetchval()

    who_am_i()


recipe_azure_sql()
