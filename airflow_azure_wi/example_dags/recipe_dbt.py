"""dbt through Cosmos: run the models of a project on PostgreSQL, with an access token as the password.

Install: `astronomer-cosmos` 1.14 or newer next to Airflow; `dbt-core` and `dbt-postgres` there too, or in their own
environment (`ExecutionConfig(dbt_executable_path=...)`). Grant: as for recipe_postgresql, and `CREATE` on the schema.
`dbt_shop` is the dbt project. Its profiles.yml reads the token with `env_var('DBT_ENV_SECRET_TOKEN')`. manifest.json
is the (shortened) output of `dbt parse`, so that Airflow can parse this file without dbt.
Tested by running it with a stand-in for `dbt` that checks the token.
"""

import os
from pathlib import Path

from cosmos import DbtTaskGroup, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import LoadMode

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag

PROJECT = Path(__file__).parent / "dbt_shop"


def give_token(context, operator):
    # In the environment of this task's process, which dbt inherits. Airflow stores operator.env for its UI, if masked.
    hook = AzureWorkloadIdentityHook("azure_wi")
    os.environ["DBT_ENV_SECRET_TOKEN"] = hook.get_token("https://ossrdbms-aad.database.windows.net/.default").token


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_dbt():
    DbtTaskGroup(
        group_id="shop",
        project_config=ProjectConfig(PROJECT, manifest_path=PROJECT / "manifest.json"),
        profile_config=ProfileConfig("shop", "azure", profiles_yml_filepath=PROJECT / "profiles.yml"),
        render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST),
        operator_args={"interceptors": [give_token]},
    )


recipe_dbt()
