"""The deployment, as this process' environment and Airflow's configuration describe it."""

import os

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.deployment import CONFIG_SECTION, Deployment, Options


def deployment() -> Deployment:
    """Return where the federated token is and where it is sent.

    :raises DeploymentError: names everything that is wrong with it, at once.
    """
    options = {name: airflow_compat.configured(CONFIG_SECTION, name) for name in Options._fields}
    return Deployment.of(os.environ, Options(**options))
