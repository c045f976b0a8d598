"""The page Azure Workload Identity of Airflow 3.1 and later, as a person uses it."""

from playwright.sync_api import Locator, Page, expect

from tests.ui.deployment import Deployment

PLACES = ("server", "on_worker", "in_triggerer")


class AzurePage:
    """The three steps, in the frame that Airflow shows them in."""

    def __init__(self, page: Page, deployment: Deployment) -> None:
        self._page = page
        self._deployment = deployment
        self.frame = page.frame_locator("iframe")
        self.save = self.frame.locator("#save")

    def open(self) -> None:
        """Go there by Airflow's menu."""
        self._page.goto("/")
        self._page.get_by_role("button", name="Admin").click()
        self._page.get_by_role("menuitem", name="Azure Workload Identity").click()
        expect(self.frame.get_by_role("heading", name="Azure Workload Identity")).to_be_visible()

    def fill(self, label: str, text: str) -> None:
        """Enter a value."""
        self.frame.get_by_label(label, exact=True).fill(text)

    def choose(self, what: str) -> None:
        """Choose what to link."""
        self.frame.get_by_label(what, exact=True).check()

    def problem(self, label: str) -> Locator:
        """What is said beside a field."""
        return self.frame.locator(".field", has=self.frame.get_by_label(label, exact=True)).locator(".problem")

    def output(self) -> Locator:
        """What is to be run in a terminal, in the format that is chosen."""
        return self.frame.locator("#link-output [role=tabpanel]:visible")

    def copied(self, code: Locator) -> str:
        """Press the button Copy of a text, and return what is in the clipboard then."""
        code.get_by_role("button", name="Copy").click()
        expect(code.get_by_role("button", name="Copied")).to_be_visible()
        return str(self._page.evaluate("navigator.clipboard.readText()"))

    def check(self, conn_id: str) -> None:
        """Have a connection checked, and wait for what is found everywhere; again if Airflow itself failed a task."""
        for _ in range(3):
            before = self._stale_events()
            self._check_once(conn_id)
            if self._stale_events() == before:
                return

    def _stale_events(self) -> int:
        """Count the deferred tasks that the scheduler failed because it learned of the deferral after their resumption.

        Seen with Airflow 3.1.8 on a busy machine; reported of 3.2.1 (https://github.com/apache/airflow/issues/67287)
        and of 3.3.1 (https://github.com/apache/airflow/issues/72716).
        """
        said = self._deployment.log.read_text(errors="replace")
        return said.count("finished with state success, but the task instance's state attribute is")

    def _check_once(self, conn_id: str) -> None:
        self.frame.get_by_label("Connection", exact=True).fill(conn_id)
        self.frame.get_by_role("button", name="Check").click()
        # Another check may have left its verdicts.
        expect(self.chip("on_worker")).to_have_text("running")
        for place in PLACES:
            expect(self.chip(place)).not_to_have_text("running", timeout=240_000)

    def place(self, name: str) -> Locator:
        """What was found at a place."""
        return self.frame.locator(f'.place[data-place="{name}"]')

    def chip(self, name: str) -> Locator:
        """Whether that is good."""
        return self.place(name).locator("summary .chip")

    def chips(self) -> list[str]:
        """Whether what was found is good, everywhere."""
        return [self.chip(name).inner_text() for name in PLACES]
