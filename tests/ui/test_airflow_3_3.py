"""The page of Airflow 3.3: the form, a run of the example DAG, and a test of the connection on a worker."""

import json
import re

from playwright.sync_api import Page, expect

from airflow_azure_wi.provider import FIELDS
from airflow_azure_wi.testing import OfflineAzure
from tests.ui.conftest import IDENTITY, Picture
from tests.ui.connections_page import ConnectionsPage
from tests.ui.deployment import Deployment

DAG = "azure_workload_identity_example"
CONNECTION = "azure_wi"


def test_a_connection_is_added_and_edited(page: Page, deployment: Deployment, picture: Picture) -> None:
    connections = ConnectionsPage(page)
    connections.open_new(CONNECTION)
    connections.show_extra_fields()
    assert connections.help_texts() == {
        "Client ID": FIELDS["clientId"].description,
        "Tenant ID": FIELDS["tenantId"].description,
        "Subscription ID": FIELDS["subscriptionId"].description,
    }
    expect(connections.form.get_by_text("This field is required")).to_have_count(2)
    expect(connections.save).to_be_disabled()
    picture("airflow-3.3-form-help")

    connections.fill("Client ID", IDENTITY.client_id)
    expect(connections.form.get_by_text("This field is required")).to_have_count(1)
    expect(connections.save).to_be_disabled()
    connections.fill("Tenant ID", IDENTITY.tenant_id)
    expect(connections.save).to_be_enabled()
    picture("airflow-3.3-form-filled")
    connections.store()
    stored = deployment.get(f"/api/v2/connections/{CONNECTION}")
    assert stored["conn_type"] == "azure_workload_identity"
    assert json.loads(stored["extra"]) == {
        "clientId": IDENTITY.client_id,
        "tenantId": IDENTITY.tenant_id,
        "subscriptionId": None,
    }

    connections.open_stored(CONNECTION)
    connections.show_extra_fields()
    expect(connections.field("Client ID")).to_have_value(IDENTITY.client_id)
    expect(connections.field("Tenant ID")).to_have_value(IDENTITY.tenant_id)
    connections.fill("Subscription ID", IDENTITY.subscription_id)
    connections.store()
    assert json.loads(deployment.get(f"/api/v2/connections/{CONNECTION}")["extra"]) == {
        "clientId": IDENTITY.client_id,
        "tenantId": IDENTITY.tenant_id,
        "subscriptionId": IDENTITY.subscription_id,
    }


def test_the_example_runs_through_that_connection(
    page: Page, deployment: Deployment, azure: OfflineAzure, picture: Picture
) -> None:
    page.goto(f"/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    storage = {"blob": azure.azurite.blob_url, "queue": azure.azurite.queue_url, "table": azure.azurite.table_url}
    for name, url in storage.items():
        field = dialog.get_by_role("region").get_by_role("group").filter(has_text=re.compile(f"^{name}"))
        field.get_by_role("textbox").fill(url)
        field.get_by_role("textbox").blur()
    dialog.get_by_role("button", name="Trigger").click()
    page.wait_for_url(re.compile(r"/runs/[^/?]+$"))
    run = page.url

    runs = f"/api/v2/dags/{DAG}/dagRuns"
    ended = {"success", "failed"}
    deployment.wait_for("end of the run", lambda: deployment.get(runs)["dag_runs"][0]["state"] in ended)
    page.reload()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    assert {exchange.error_code for exchange in azure.entra.exchanges} == {None}

    page.goto(f"{run}/tasks/blob")
    line = page.get_by_text("'read_back': 'Hello from a blob'")
    expect(line).to_be_visible()
    # Wraps the lines, which are longer than the page is wide.
    page.keyboard.press("w")
    line.scroll_into_view_if_needed()
    picture("airflow-3.3-log")


def test_the_connection_is_tested_on_a_worker(deployment: Deployment, azure: OfflineAzure) -> None:
    stored = deployment.get(f"/api/v2/connections/{CONNECTION}")
    asked = {name: stored[name] for name in ("connection_id", "conn_type", "extra")}
    [trusted] = azure.identity.federated_credentials

    tested = enqueue_test(deployment, asked)
    assert tested["state"] == "success", tested
    assert tested["result_message"].startswith("Signed in as"), tested
    [exchange] = azure.entra.exchanges
    assert exchange.error_code is None

    azure.identity.remove_credential(trusted.name)
    try:
        tested = enqueue_test(deployment, asked)
    finally:
        azure.identity.add_credential(trusted)
    assert tested["state"] == "failed", tested
    assert tested["result_message"].startswith("AADSTS70025: "), tested
    assert "Next step: " in tested["result_message"], tested


def enqueue_test(deployment: Deployment, connection: dict[str, str]) -> dict[str, str]:
    """Have a worker test a connection, and wait for what it found."""
    queued = deployment.post("/api/v2/connections/enqueue-test", connection)
    assert queued["state"] in {"pending", "queued"}

    def result() -> dict[str, str] | None:
        token = {"Airflow-Connection-Test-Token": queued["token"]}
        found = deployment.get("/api/v2/connections/enqueue-test", **token)
        return found if found["state"] in {"success", "failed"} else None

    return deployment.wait_for("result of the test", result)


def test_the_command_line_tests_the_connection_of_the_page(deployment: Deployment, azure: OfflineAzure) -> None:
    said = deployment.program.run("connections", "test", CONNECTION)
    assert "Connection success!" in said.stdout
    assert len(azure.entra.exchanges) == 1
