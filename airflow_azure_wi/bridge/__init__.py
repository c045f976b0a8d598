"""Lets the hooks, operators, sensors and triggers of the stock Azure provider use this package's connections.

It is on in every process, without an import in a DAG file, through Airflow's entry point group ``airflow.policy``:
Airflow loads it at the end of ``import airflow``, which nothing that runs Airflow code can do without. (Plugins, the
other extension point that needs no configuration, are loaded late or not at all where a task's log is uploaded, where
``airflow.sdk`` is used alone, and in Airflow's command line.) See docs/bridge.md.

What is replaced, once the module that holds it is imported by someone else:

- ``BaseHook.get_connection`` and ``aget_connection``, so that stock hooks find in a connection of this package's type
  what they look for (:mod:`~airflow_azure_wi.bridge.connections`);
- what the stock provider's two credential factories do, so that its hooks sign in with this package's shared
  credential (:mod:`~airflow_azure_wi.bridge.credentials`);
- what names the connection of remote task logs (:mod:`~airflow_azure_wi.bridge.remote_logging`);
- the few functions in :mod:`~airflow_azure_wi.bridge.table`, for hooks that use neither.

With every other type of connection, each of them does what it did before.
"""
