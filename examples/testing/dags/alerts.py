"""What the people on call are told."""

import logging

from airflow_azure_wi.errors import TokenExchangeError

log = logging.getLogger(__name__)


def alert(context) -> str:
    """Say who can fix it: a refused sign-in is for those who run Azure, anything else for the authors of the DAG."""
    error = context.get("exception")  # Airflow 3.1 leaves it out in dag.test()
    if isinstance(error, TokenExchangeError) and error.code:
        text = f"To the Azure team: Entra refuses Airflow ({error.code}). {error}"
    else:
        text = f"To the authors of the DAG: {error}"
    log.error(text)
    return text
