"""``python -m airflow_azure_wi``: the command line, also where its script is not on the PATH."""

import sys

from airflow_azure_wi.cli import main

sys.exit(main())
