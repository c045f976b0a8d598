"""Test the DAG daily_report without Azure. Its tasks run unchanged."""

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from daily_report import ACCOUNT_URL, alert, report_dag

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.errors import TokenExchangeError

write_report = report_dag.get_task("write_report").python_callable
delete_orders = report_dag.get_task("delete_orders")


@pytest.fixture
def sales(azure_workload_identity) -> ContainerClient:
    """The container that the DAG uses, with two orders in it."""
    hook = AzureWorkloadIdentityHook(azure_workload_identity.conn_id)
    container = hook.get_client(BlobServiceClient, account_url=ACCOUNT_URL).create_container("sales")
    for name in ("orders/1", "orders/2"):
        container.upload_blob(name, b"one pizza")
    return container


def test_the_report_says_how_many_orders_there_are(sales):
    write_report()
    assert sales.download_blob("report.txt").readall() == b"2 orders"


def test_orders_are_deleted_and_the_report_stays(sales):
    write_report()
    delete_orders.execute({})
    assert [blob.name for blob in sales.list_blobs()] == ["report.txt"]


def test_entra_is_asked_once(azure_workload_identity, sales):
    write_report()
    delete_orders.execute({})
    assert [exchange.error_code for exchange in azure_workload_identity.exchanges] == [None]


def test_the_task_waits_when_entra_throttles_it(azure_workload_identity):
    azure_workload_identity.throttle(times=1, retry_after=0.1)
    with pytest.raises(Exception, match="ContainerNotFound"):
        write_report()
    assert [exchange.error_code for exchange in azure_workload_identity.exchanges] == ["HTTP 429", None]


def test_the_azure_team_hears_of_a_missing_federated_identity_credential(azure_workload_identity):
    azure_workload_identity.remove_federated_credential()
    with pytest.raises(TokenExchangeError) as caught:
        write_report()
    text = alert({"exception": caught.value})
    assert text.startswith("To the Azure team: Entra refuses Airflow (AADSTS70025). ")
    assert "subject 'system:serviceaccount:airflow:airflow-worker'" in text


def test_the_authors_hear_of_a_missing_container(azure_workload_identity):
    with pytest.raises(Exception, match="ContainerNotFound") as caught:
        write_report()
    assert alert({"exception": caught.value}).startswith("To the authors of the DAG: ")
