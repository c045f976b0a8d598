"""The connections page of Airflow 3, as a person uses it."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import AIRFLOW

CONNECTION_TYPE = "Azure Workload Identity"


class ConnectionsPage:
    """The list of connections, and the form that it opens."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.form = page.get_by_role("dialog")
        self.save = self.form.get_by_role("button", name="Save")
        if AIRFLOW >= (3, 4):
            heading = page.get_by_role("heading", name=f"{CONNECTION_TYPE} Fields")
            section = self.form.locator("div", has=heading).last
        else:
            # The groups of sections that are closed are not in the page, once they have moved out of sight.
            section = self.form.get_by_role("region")
        self._fields = section.get_by_role("group")

    def open_new(self, conn_id: str) -> None:
        """Begin a connection of our type."""
        # The first visit signs in, which ends at the home page in Airflow 3.1.
        self._page.goto("/")
        expect(self._page.get_by_text("Admin", exact=True).first).to_be_visible()
        self._page.goto("/connections")
        self._page.get_by_role("button", name="Add Connection").first.click()
        self.form.get_by_label("Connection ID").fill(conn_id)
        self.form.get_by_role("combobox").first.click()
        self._page.keyboard.type(CONNECTION_TYPE)
        self._page.get_by_role("option", name=CONNECTION_TYPE, exact=True).click()

    def open_stored(self, conn_id: str) -> None:
        """Edit a connection."""
        self._page.goto("/connections")
        self.row(conn_id).get_by_role("button", name="Edit Connection").click()

    def show_extra_fields(self) -> None:
        """Open the section that holds the fields of the connection's type; in Airflow 3.4, it is open."""
        if AIRFLOW < (3, 4):
            self.form.get_by_role("button", name="Extra Fields", exact=True).click()
        expect(self._fields).to_have_count(3)

    def help_texts(self) -> dict[str, str]:
        """What each field is called, and the help below it."""
        texts = [field.inner_text().replace("\n*", "").split("\n") for field in self._fields.all()]
        return {label: help_text for label, help_text, *_ in texts}

    def field(self, label: str) -> Locator:
        """Where a value is entered."""
        label_text = self._page.locator("label", has_text=re.compile(f"^{label}"))
        return self._fields.filter(has=label_text).get_by_role("textbox")

    def fill(self, label: str, value: str) -> None:
        """Enter a value, and leave the field, which is when the form takes it."""
        self.field(label).fill(value)
        self.field(label).blur()

    def store(self) -> None:
        """Save; the form closes when the API has taken it."""
        self.save.click()
        expect(self.form).to_be_hidden()

    def row(self, conn_id: str) -> Locator:
        """A connection in the list."""
        return self._page.get_by_role("row").filter(has_text=conn_id)
