"""What the tests of the simulated Entra share. In a module of its own: several folders of tests have a conftest."""

from collections.abc import Callable

import requests

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
STORAGE_SCOPE = "https://storage.azure.com/.default"
SUBJECT = "system:serviceaccount:airflow:airflow-worker"

RequestToken = Callable[..., requests.Response]
