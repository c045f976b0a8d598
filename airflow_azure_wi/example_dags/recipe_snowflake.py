"""Snowflake: query it with an access token of Entra (External OAuth).

Install: `snowflake-connector-python`. In Snowflake: a security integration of type EXTERNAL_OAUTH for the tenant, and
`CREATE USER airflow TYPE = SERVICE LOGIN_NAME = '<what the integration maps, such as the sub of the token>'`.
SCOPE names the application in Entra that stands for Snowflake.
Not run here against Snowflake. Tested by running it with a stand-in for `snowflake.connector`, whose packages contradict
those of the tests, and which looks at the token.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

SCOPE = "api://11111111-2222-3333-4444-555555555555/.default"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_snowflake():
    @task
    def who_am_i():
        import snowflake.connector

        hook = AzureWorkloadIdentityHook("azure_wi")
        with snowflake.connector.connect(
            account="acct.west-europe.azure",
            authenticator="oauth",
            token=hook.get_token(SCOPE).token,
            warehouse="LOADING",
        ) as connection:
            return connection.cursor().execute("SELECT CURRENT_USER()").fetchone()[0]

    who_am_i()


recipe_snowflake()
