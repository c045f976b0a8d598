"""The page of this package in Airflow: linked, connected and checked as a person does it, and what it looks like."""

import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from airflow_azure_wi.testing import FederatedIdentityCredential, OfflineAzure
from tests.fake_az import FakeAz
from tests.ui.azure_page import PLACES, AzurePage
from tests.ui.conftest import IDENTITY, Picture
from tests.ui.deployment import Deployment

CONNECTION = "azure_page"
IS_NEWEST = version("apache-airflow").startswith("3.3.")


class Terminal:
    """A terminal with the Azure CLI, whose federated identity credentials Entra knows of at once."""

    def __init__(self, azure: OfflineAzure, directory: Path) -> None:
        self._azure = azure
        self._az = FakeAz(directory, azure.identity.as_json())

    def run(self, text: str) -> str:
        """Paste a text, and return what it prints."""
        done = subprocess.run(
            ["bash"], input=text, env=self._az.environment(), capture_output=True, text=True, check=True, timeout=60
        )
        self.untrust()
        for each in self._az.credentials:
            credential = FederatedIdentityCredential(
                each["name"], each["issuer"], each["subject"], tuple(each["audiences"])
            )
            self._azure.identity.add_credential(credential)
        return done.stdout

    def untrust(self) -> None:
        """Let the identity have no federated identity credential."""
        for credential in self._azure.identity.federated_credentials:
            self._azure.identity.remove_credential(credential.name)

    def delete_all(self) -> None:
        """Delete the credentials, as somebody else with an Azure CLI might."""
        where = f"--identity-name {self._azure.identity.name} --resource-group {self._azure.identity.resource_group}"
        for each in self._az.credentials:
            self.run(f"az identity federated-credential delete --name {each['name']} {where} --yes")


@pytest.fixture
def terminal(azure: OfflineAzure, tmp_path: Path) -> Iterator[Terminal]:
    [trusted] = azure.identity.federated_credentials
    terminal = Terminal(azure, tmp_path / "az")
    terminal.untrust()
    yield terminal
    terminal.untrust()
    azure.identity.add_credential(trusted)


@pytest.fixture
def azure_page(page: Page, deployment: Deployment) -> AzurePage:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    azure_page = AzurePage(page, deployment)
    azure_page.open()
    return azure_page


def test_a_deployment_is_linked_connected_checked_and_repaired(
    azure_page: AzurePage, page: Page, terminal: Terminal, picture: Picture
) -> None:
    # Link
    azure_page.fill("Managed identity name", IDENTITY.name)
    azure_page.fill("Resource group", IDENTITY.resource_group)
    expect(azure_page.output()).to_contain_text("az identity federated-credential create")
    expect(azure_page.frame.locator("#quota-text")).to_contain_text("of 20 federated identity credentials")
    if IS_NEWEST:
        take(page, picture, "page-link")
    printed = terminal.run(azure_page.copied(azure_page.output()))

    # Connect
    azure_page.fill("Paste what the command printed", printed)
    azure_page.fill("Connection ID", CONNECTION)
    fields = azure_page.frame.locator("#connection-fields")
    for value in (IDENTITY.client_id, IDENTITY.tenant_id, IDENTITY.subscription_id):
        expect(fields).to_contain_text(value)
    if IS_NEWEST:
        azure_page.save.scroll_into_view_if_needed()
        take(page, picture, "page-connect")
    azure_page.save.click()
    expect(azure_page.frame.locator("#saved")).to_have_text(f"Created connection {CONNECTION}.")
    stored = page.request.get(f"/api/v2/connections/{CONNECTION}").json()
    assert stored["conn_type"] == "azure_workload_identity"
    assert json.loads(stored["extra"]) == {
        "clientId": IDENTITY.client_id,
        "tenantId": IDENTITY.tenant_id,
        "subscriptionId": IDENTITY.subscription_id,
    }

    # Check
    azure_page.check(CONNECTION)
    assert azure_page.chips() == ["ok"] * 3
    for place in PLACES:
        expect(azure_page.place(place).locator("summary")).to_contain_text(f"Signed in as {IDENTITY.client_id}")
    if IS_NEWEST:
        azure_page.place("in_triggerer").scroll_into_view_if_needed()
        take(page, picture, "page-check")

    # What breaks is shown, with what repairs it.
    terminal.delete_all()
    azure_page.check(CONNECTION)
    assert azure_page.chips() == ["failed"] * 3
    for place in PLACES:
        expect(azure_page.place(place)).to_contain_text("AADSTS70025")
    [command] = azure_page.place("server").locator(".check .code").all()
    if IS_NEWEST:
        command.scroll_into_view_if_needed()
        take(page, picture, "page-check-failed")
    terminal.run(azure_page.copied(command))
    azure_page.check(CONNECTION)
    assert azure_page.chips() == ["ok"] * 3

    # From there to Airflow's own form.
    azure_page.frame.get_by_role("link", name="Open it in Airflow").click()
    expect(page.get_by_role("button", name="Add Connection").first).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=CONNECTION)).to_be_visible()


def take(page: Page, picture: Picture, name: str) -> None:
    """Take a picture in both of the colour modes."""
    for mode in ("light", "dark"):
        page.emulate_media(color_scheme=mode)
        picture(f"{name}-{mode}")
    page.emulate_media(color_scheme="light")


def test_an_existing_connection_is_updated_and_nothing_else_of_it_changed(azure_page: AzurePage, page: Page) -> None:
    stored = {"connection_id": "old_azure", "conn_type": "azure", "description": "of the data team", "extra": "{}"}
    assert page.request.post("/api/v2/connections", data=stored).ok
    azure_page.fill("Paste what the command printed", json.dumps(IDENTITY.as_json()))
    azure_page.fill("Connection ID", "old_azure")
    expect(azure_page.frame.locator("#connection-warning")).to_contain_text("There is a connection old_azure")
    expect(azure_page.frame.locator("#connection-warning")).to_contain_text("of the type azure")
    azure_page.frame.get_by_role("button", name="Update connection").click()
    expect(azure_page.frame.locator("#saved")).to_have_text("Updated connection old_azure.")
    found = page.request.get("/api/v2/connections/old_azure").json()
    assert found["conn_type"] == "azure_workload_identity"
    assert json.loads(found["extra"])["clientId"] == IDENTITY.client_id
    assert found["description"] == "of the data team"


def test_problems_stand_beside_their_fields(azure_page: AzurePage) -> None:
    azure_page.choose("Helm release")
    expect(azure_page.frame.locator("#link-state")).to_contain_text("Still needed: Managed identity name")
    azure_page.fill("Managed identity name", "a b")
    azure_page.fill("Resource group", "data")
    azure_page.fill("Release", "airflow")
    azure_page.frame.locator("#helm_namespace").fill("Prod")
    azure_page.frame.locator("#issuer").fill("http://10.0.0.1")
    expect(azure_page.problem("Managed identity name")).to_contain_text("'a b'")
    expect(azure_page.frame.locator("#helm_namespace-problem")).to_contain_text("The namespace is 'Prod'")
    expect(azure_page.frame.locator("#issuer-problem")).to_contain_text("it is http")
    expect(azure_page.frame.get_by_label("Managed identity name")).to_have_attribute("aria-invalid", "true")
    expect(azure_page.frame.locator("#link-result")).to_be_hidden()


def test_what_is_from_outside_is_shown_as_text(azure_page: AzurePage) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    azure_page.check(hostile)
    assert azure_page.chips()[0] == "failed"
    expect(azure_page.place("server").locator(".found").first).to_contain_text(hostile)
    expect(azure_page.frame.locator("main img")).to_have_count(0)


def test_tabs_are_used_by_keyboard(azure_page: AzurePage) -> None:
    azure_page.fill("Managed identity name", "airflow")
    azure_page.fill("Resource group", "data")
    azure_page.frame.get_by_role("tab", name="Azure CLI").first.focus()
    azure_page.frame.get_by_role("tab", name="Azure CLI").first.press("ArrowRight")
    expect(azure_page.frame.get_by_role("tab", name="Terraform")).to_be_focused()
    expect(azure_page.output()).to_contain_text("azurerm_federated_identity_credential")


def test_colours_follow_those_that_were_chosen_in_airflow(azure_page: AzurePage, page: Page) -> None:
    body = azure_page.frame.locator("body")
    light = body.evaluate("body => getComputedStyle(body).backgroundColor")
    # As Airflow's own button stores it, whose page and this one share an origin.
    page.evaluate("localStorage.setItem('theme', 'dark')")
    expect(body).not_to_have_css("background-color", light)
    page.reload()
    expect(body).not_to_have_css("background-color", light)


def test_without_the_preflight_dag_the_page_shows_the_file_that_adds_it(azure_page: AzurePage, page: Page) -> None:
    page.route("**/api/v2/dags/azure_workload_identity_preflight", lambda route: route.fulfill(status=404, json={}))
    azure_page.frame.get_by_role("button", name="Check").click()
    expect(azure_page.frame.locator("#no-preflight")).to_contain_text("azure_workload_identity_preflight import dag")
    expect(azure_page.chip("on_worker")).to_have_text("skipped")
