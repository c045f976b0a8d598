"""A real Airflow with the offline Azure, and a browser that looks at it. `nox -s ui` runs it with several."""

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.airflow_program import variables_of, without_recipes
from tests.ui.deployment import Deployment, deployed

# Each Airflow has pages of its own; the tests of the others do not apply.
_HERE = Path(__file__).parent
AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
_TESTS = "test_airflow_{}_{}.py".format(*AIRFLOW)
collect_ignore = [file.name for file in _HERE.glob("test_airflow_*.py") if file.name != _TESTS]
if AIRFLOW < (3, 0):
    collect_ignore.append("test_the_form.py")
if AIRFLOW < (3, 1):
    # That came with Airflow's external views.
    collect_ignore.append("test_page.py")

# A machine that is three times slower than a laptop must pass.
WAIT = 90_000
# Keeps it off the network, and lets it run as root and without a graphics card.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# As the form's placeholders and the demo have it, so that pictures of it stay the same.
IDENTITY = ManagedIdentity(
    client_id="6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
    tenant_id="72f988bf-86f1-41af-91ab-2d7cd011db47",
    subscription_id="0b1f6471-1bf0-4dda-aec3-cb9272f09590",
    principal_id="2b4d1c7a-8f7e-4a34-9c55-0d6a3a6b9f21",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="a folder that pictures of the pages are written to")


@pytest.fixture(scope="session")
def running_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfflineAzure]:
    with OfflineAzure(tmp_path_factory.mktemp("offline-azure"), identity=IDENTITY) as azure:
        yield azure


@pytest.fixture(scope="session")
def deployment(running_azure: OfflineAzure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    variables = variables_of(tmp_path_factory.mktemp("airflow"), without_recipes(tmp_path_factory.mktemp("dags")))
    with deployed(variables | running_azure.environment()) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        # Without a folder of its own it makes a new one for its user data, which goes with it.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of the running Airflow."""
    context = browser.new_context(
        base_url=deployment.address, viewport={"width": 1200, "height": 1000}, color_scheme="light", locale="en-GB"
    )
    context.set_default_timeout(WAIT)
    page = context.new_page()
    request.node.stash[_PAGE] = page
    yield page
    context.close()


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest) -> "Picture":
    return Picture(page, request.config.getoption("screenshots"))


class Picture:
    """Takes a picture of the page for the docs, if the person who runs the tests wants pictures."""

    def __init__(self, page: Page, folder: Path | None) -> None:
        self._page = page
        self._folder = folder

    def __call__(self, name: str) -> None:
        if self._folder is not None:
            self._page.screenshot(path=self._folder / f"{name}.png", animations="disabled", caret="hide")


_PAGE = pytest.StashKey[Page]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where a test failed, show what a person would have looked at: the page, and what Airflow said."""
    report = yield
    if report.when == "call" and report.failed:
        if page := item.stash.get(_PAGE, None):
            file = item.config.rootpath / ".venvs" / "logs" / f"{item.name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=file)
            report.sections.append(("the page", f"{page.url}\n{file}"))
        if deployment := item.funcargs.get("deployment"):
            report.sections.append(("Airflow", deployment.logs()))
    return report
