"""The deployment, as this process' environment and Airflow's configuration describe it."""

import os

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.deployment import CONFIG_SECTION, Deployment, Options


def deployment() -> Deployment:
    """Return where the federated token is and where it is sent.

    :raises DeploymentError: names everything that is wrong with it, at once.
    """
    return Deployment.of(os.environ, options())


def options() -> Options:
    """Return the options of Airflow's configuration, as they stand there."""
    return Options(**{name: airflow_compat.configured(CONFIG_SECTION, name) for name in Options._fields})
