"""The page of Airflow 3.2: the Test button."""

from playwright.sync_api import Page, expect

from airflow_azure_wi.testing import OfflineAzure
from tests.ui.conftest import IDENTITY, Picture
from tests.ui.connections_page import ConnectionsPage

CONNECTION = "azure_wi"


def test_a_connection_is_added_and_tested(page: Page, azure: OfflineAzure, picture: Picture) -> None:
    connections = ConnectionsPage(page)
    connections.open_new(CONNECTION)
    connections.show_extra_fields()
    connections.fill("Client ID", IDENTITY.client_id)
    connections.fill("Tenant ID", IDENTITY.tenant_id)
    connections.store()
    page.reload()  # else the page's own messages get in the picture
    button = connections.row(CONNECTION).get_by_role("button", name="Test Connection")

    button.click()
    expect(page.get_by_text("Test Connection Successful")).to_be_visible()
    expect(page.get_by_text(f"Signed in as {IDENTITY.client_id}").first).to_be_visible()
    picture("airflow-3.2-test-green")
    [exchange] = azure.entra.exchanges
    assert exchange.error_code is None

    [trusted] = azure.identity.federated_credentials
    azure.identity.remove_credential(trusted.name)
    try:
        page.reload()
        button.click()
        expect(page.get_by_text("Test Connection Failed")).to_be_visible()
        expect(
            page.get_by_text("AADSTS70025: The managed identity has no federated identity credential").first
        ).to_be_visible()
        picture("airflow-3.2-test-red")
    finally:
        azure.identity.add_credential(trusted)
