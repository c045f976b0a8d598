"""The alert for the people on call."""

import logging

from airflow_azure_wi.errors import TokenExchangeError

log = logging.getLogger(__name__)


def alert(context) -> str:
    """Send a refused sign-in to the Azure team, and any other failure to the authors of the DAG."""
    error = context.get("exception")  # Airflow 3.1 leaves it out in dag.test()
    if isinstance(error, TokenExchangeError) and error.code:
        text = f"To the Azure team: Entra refuses Airflow ({error.code}). {error}"
    else:
        text = f"To the authors of the DAG: {error}"
    log.error(text)
    return text
