"""The form of the connection, in each Airflow 3."""

from playwright.sync_api import Page

from tests.ui.conftest import AIRFLOW, IDENTITY, Picture
from tests.ui.connections_page import ConnectionsPage
from tests.ui.deployment import Deployment

CONNECTION = "azure_wi_of_the_form"


def test_it_asks_for_who_and_stores_that(page: Page, deployment: Deployment, picture: Picture) -> None:
    connections = ConnectionsPage(page)
    connections.open_new(CONNECTION)
    connections.show_extra_fields()
    assert list(connections.help_texts()) == ["Client ID", "Tenant ID", "Subscription ID"]
    connections.fill("Client ID", IDENTITY.client_id)
    connections.fill("Tenant ID", IDENTITY.tenant_id)
    connections.fill("Subscription ID", IDENTITY.subscription_id)
    picture("airflow-{}.{}-form".format(*AIRFLOW))
    connections.store()

    [stored] = deployment.program.rows("connections", "get", CONNECTION)
    assert stored["conn_type"] == "azure_workload_identity"
    expected = {
        "clientId": IDENTITY.client_id,
        "tenantId": IDENTITY.tenant_id,
        "subscriptionId": IDENTITY.subscription_id,
    }
    # In Airflow 3.0, the command shows what stock hooks see, which has the names of their extras, too.
    assert stored["extra_dejson"].items() >= expected.items()
    # The page of this package would offer it, too.
    deployment.program.run("connections", "delete", CONNECTION)
