"""Check whether tasks and triggers can sign in. The report is in the task logs, and in the XCom "report" of each task.

For deployments without a shell. Trigger it with the id of your connection and the scopes of the services that your DAGs
use. Without an id, it takes the only connection of this type that a task can find, or azure_wi.
"""

import pendulum

from airflow_azure_wi.preflight import AzureWorkloadIdentityPreflightOperator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow.models.dag import DAG

with DAG(
    "azure_workload_identity_preflight",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    tags=["azure", "preflight"],
    params={
        "conn_id": "",
        "scopes": ["https://storage.azure.com/.default"],
        "subscription_id": "",
    },
    # A retry would hide the report of the attempt before it.
    default_args={"retries": 0},
    # Keeps the rendered scopes a list.
    render_template_as_native_obj=True,
    doc_md=__doc__,
) as dag:
    for task_id, deferrable in {"on_worker": False, "in_triggerer": True}.items():
        AzureWorkloadIdentityPreflightOperator(
            task_id=task_id,
            deferrable=deferrable,
            conn_id="{{ params.conn_id }}",
            scopes="{{ params.scopes }}",
            subscription_id="{{ params.subscription_id }}",
        )
