"""The entry point of group ``airflow.policy``: importing this module turns the bridge on.

Airflow imports it at the end of ``import airflow``, in every process, and registers it with pluggy as a policy that
decides nothing. So it imports next to nothing, and never raises.
"""

from airflow_azure_wi.bridge.switch import turn_on as _turn_on

_turn_on()
