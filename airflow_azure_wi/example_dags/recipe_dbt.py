"""dbt through Cosmos: run the models of a project on PostgreSQL, with an access token as the password.

Install: `astronomer-cosmos` 1.14 or newer beside Airflow; `dbt-core` and `dbt-postgres` there too, or in an environment
of their own (`ExecutionConfig(dbt_executable_path=...)`). Grant: as for recipe_postgresql, and `CREATE` on the schema.
`dbt_shop` is the dbt project: its profiles.yml takes the token by `env_var('DBT_ENV_SECRET_TOKEN')`, and manifest.json
is what `dbt parse` made (shortened), so that Airflow parses this file without dbt.
Tested by running it with a stand-in for the program `dbt`, which looks at the token.
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
    # To the process of this task, and so to dbt. What is in operator.env, Airflow stores for its UI, if masked.
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
