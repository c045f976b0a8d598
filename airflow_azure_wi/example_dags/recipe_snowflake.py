"""Snowflake: run a query with an access token from Entra (External OAuth).

Install: `snowflake-connector-python`.
In Entra: an application that represents Snowflake, named in SCOPE, with an app role such as `session:role:analyst` that
is assigned to the managed identity. In Snowflake: a security integration of type EXTERNAL_OAUTH whose user mapping
claim is `sub`, and a user whose LOGIN_NAME is the object id of the managed identity.
Not run against Snowflake. Tested by running it with a stand-in for `snowflake.connector` that checks the token; the
packages of the real one conflict with those of the tests.
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
