"""Data Factory: run a pipeline and wait for it, with the operator of the stock Azure provider.

Install: nothing. Role: Data Factory Contributor on the factory. The connection needs `subscriptionId`.
Tested by running it against an HTTPS recorder that answers as Azure Resource Manager would.
"""

from airflow.providers.microsoft.azure.operators.data_factory import AzureDataFactoryRunPipelineOperator

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_data_factory():
    AzureDataFactoryRunPipelineOperator(
        task_id="run_pipeline",
        azure_data_factory_conn_id="azure_wi",
        resource_group_name="analytics",
        factory_name="my-factory",
        pipeline_name="load-orders",
        parameters={"run": "{{ run_id }}"},
        check_interval=10,
        # With deferrable=True the triggerer waits. It needs its own federated token.
    )


recipe_data_factory()
