"""The page of Airflow 2.11, whose form is of Flask AppBuilder: the form, its Test button, a run of the example DAG."""

import json
import re

from playwright.sync_api import Locator, Page, expect

from airflow_azure_wi.provider import FIELDS
from airflow_azure_wi.testing import OfflineAzure
from tests.ui.conftest import IDENTITY, Picture
from tests.ui.deployment import Deployment

DAG = "azure_workload_identity_example"
CONNECTION = "azure_wi"
CONNECTION_TYPE = "Azure Workload Identity"


def sign_in(page: Page, deployment: Deployment) -> None:
    """As the administrator that `airflow standalone` made."""
    page.goto("/login/")
    page.locator("#username").fill("admin")
    page.locator("#password").fill((deployment.home / "standalone_admin_password.txt").read_text().strip())
    page.get_by_role("button", name="Sign In").click()
    expect(page.locator("#username")).to_have_count(0)


def field(page: Page, name: str) -> Locator:
    """By its id: the page holds the fields of all connection types, also those that it does not show."""
    return page.locator(f"#extra__azure_workload_identity__{name}")


def new_connection(page: Page, conn_id: str) -> None:
    """Open an empty form for a connection of this type."""
    page.goto("/connection/add")
    page.get_by_label("Connection Id").fill(conn_id)
    page.locator("#conn_type ~ .select2 .select2-selection").click()
    page.keyboard.type(CONNECTION_TYPE)
    page.locator(".select2-results__option", has_text=re.compile(f"^{CONNECTION_TYPE}$")).click()


def test_a_connection_is_added_tested_and_edited(
    page: Page, deployment: Deployment, azure: OfflineAzure, picture: Picture
) -> None:
    sign_in(page, deployment)
    new_connection(page, CONNECTION)
    fields = page.locator("tr:visible", has=page.locator("[id^=extra__]"))
    expect(fields).to_have_count(3)
    shown = {row.locator("label").inner_text(): row.locator(".help-block").inner_text() for row in fields.all()}
    assert shown == {
        "Client ID": FIELDS["clientId"].description,
        "Tenant ID": FIELDS["tenantId"].description,
        "Subscription ID": FIELDS["subscriptionId"].description,
    }
    for hidden in ("host", "schema", "login", "password", "port"):
        expect(page.locator(f"#{hidden}")).to_be_hidden()

    field(page, "client_id").fill(IDENTITY.client_id)
    field(page, "tenant_id").fill(IDENTITY.tenant_id)
    page.locator("#test-connection").click()
    expect(page.locator(".alert")).to_contain_text("Signed in as")
    [exchange] = azure.entra.exchanges
    assert exchange.error_code is None
    picture("airflow-2.11-form")

    page.get_by_role("button", name="Save").click()
    expect(page.locator(".alert", has_text="Added Row")).to_be_visible()
    page.goto("/connection/list/")
    page.locator("tr", has_text=CONNECTION).locator("a[href*='/connection/edit/']").click()
    expect(field(page, "client_id")).to_have_value(IDENTITY.client_id)
    expect(field(page, "tenant_id")).to_have_value(IDENTITY.tenant_id)
    field(page, "subscription_id").fill(IDENTITY.subscription_id)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".alert", has_text="Changed Row")).to_be_visible()
    stored = page.request.get(f"/api/v1/connections/{CONNECTION}").json()
    assert stored["conn_type"] == "azure_workload_identity"
    assert json.loads(stored["extra"]) == {
        "client_id": IDENTITY.client_id,
        "tenant_id": IDENTITY.tenant_id,
        "subscription_id": IDENTITY.subscription_id,
    }


def test_a_pasted_json_keeps_its_ids(page: Page, deployment: Deployment, azure: OfflineAzure) -> None:
    """Whether the form is tested or saved, with its own fields empty."""
    sign_in(page, deployment)
    new_connection(page, "pasted")
    expect(field(page, "client_id")).to_have_attribute("placeholder", f"e.g. {FIELDS['clientId'].example}")
    pasted = json.dumps(IDENTITY.as_json())
    page.locator(".CodeMirror").evaluate("(editor, text) => editor.CodeMirror.setValue(text)", pasted)
    page.locator("#test-connection").click()
    expect(page.locator(".alert")).to_contain_text(f"Signed in as {IDENTITY.client_id}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".alert", has_text="Added Row")).to_be_visible()
    stored = page.request.get("/api/v1/connections/pasted").json()
    assert json.loads(stored["extra"]) == IDENTITY.as_json()


def test_the_example_runs_through_that_connection(
    page: Page, deployment: Deployment, azure: OfflineAzure, picture: Picture
) -> None:
    sign_in(page, deployment)
    page.goto(f"/dags/{DAG}/trigger")
    storage = {"blob": azure.azurite.blob_url, "queue": azure.azurite.queue_url, "table": azure.azurite.table_url}
    for name, url in storage.items():
        page.locator(f"#element_{name}").fill(url)
    page.get_by_role("button", name="Trigger").click()

    def run() -> dict[str, str] | None:
        [found] = page.request.get(f"/api/v1/dags/{DAG}/dagRuns").json()["dag_runs"]
        return found if found["state"] in {"success", "failed"} else None

    ended = deployment.wait_for("end of the run", run)
    assert ended["state"] == "success", deployment.logs()
    assert {exchange.error_code for exchange in azure.entra.exchanges} == {None}
    page.goto(f"/dags/{DAG}/grid?dag_run_id={ended['dag_run_id'].replace('+', '%2B')}&task_id=blob&tab=logs")
    expect(page.get_by_text('"read_back": "Hello from a blob"').first).to_be_visible()
    picture("airflow-2.11-log")
