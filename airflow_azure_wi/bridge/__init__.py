"""Makes hooks of the stock Azure provider, and of some other providers, work with connections of this package.

It is on in every process, without an import in a DAG file, through Airflow's entry point group ``airflow.policy``
(:mod:`~airflow_azure_wi.bridge.start`). It replaces ``BaseHook.get_connection``
(:mod:`~airflow_azure_wi.bridge.connections`), the stock provider's two credential factories and a few single functions
(:mod:`~airflow_azure_wi.bridge.table`, :mod:`~airflow_azure_wi.bridge.credentials`,
:mod:`~airflow_azure_wi.bridge.other_providers`). For connections of other types, nothing changes. See
docs/how-to/bridge.md.
"""
