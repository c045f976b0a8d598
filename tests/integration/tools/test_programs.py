"""Programs that know nothing but the hook's variables: docs/how-to/tools.md says what to run, and this runs it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.docs.pages import DOCS, blocks_of
from tests.integration.tools.azcopy import installed_azcopy
from tests.integration.tools.conftest import Start

BLOCKS = blocks_of(DOCS / "how-to/tools.md")
ARM = "https://management.core.windows.net/"

# DuckDB would download its extension. This puts the one of a package where the download would be.
INSTALL_AZURE = "from duckdb_extensions import import_extension; import_extension('azure')"

CodeWith = Callable[[str], str]


@pytest.fixture
def code_with(container: ContainerClient) -> CodeWith:
    """Return the block of the page that has a text in it, with this test's container instead of ``data``."""

    def code_with(text: str) -> str:
        [code] = [block.code for block in BLOCKS if text in block.code]
        container_name = str(container.container_name)
        return (
            code.replace("//data@acct", f"//{container_name}@acct")
            .replace("az://data/", f"az://{container_name}/")
            .replace("https://acct.blob.core.windows.net/data", container.url)
            .replace("--container-name data", f"--container-name {container_name}")
        )

    return code_with


@pytest.fixture
def check_exchanges(azure: OfflineAzure, identity: ManagedIdentity) -> Callable[..., None]:
    """Check that the program exchanged the federated token itself, as the identity of the connection."""

    def check(user_agent: str, host: str = "127.0.0.1") -> None:
        exchanges = azure.entra.exchanges
        assert {(one.client_id, one.host, one.error_code) for one in exchanges} == {(identity.client_id, host, None)}
        assert all(one.user_agent.startswith(user_agent) for one in exchanges)

    return check


@pytest.mark.parametrize(
    ("in_the_block", "printed", "user_agent"),
    [
        pytest.param("polars.scan_csv", "[1, 4]", "polars/", id="polars"),
        pytest.param("from deltalake", "0", "object_store/", id="delta-rs"),
        pytest.param("import obstore", "['copy.csv', 'numbers.csv']", "object_store/", id="obstore"),
        pytest.param("import duckdb", "[(3,)]", "azsdk-cpp-identity/", id="duckdb"),
    ],
)
def test_python(
    in_the_block: str,
    printed: str,
    user_agent: str,
    tools: Path,
    start: Start,
    code_with: CodeWith,
    check_exchanges: Callable[..., None],
) -> None:
    """In a process without Airflow and without the Azure SDK for Python."""
    if "duckdb" in in_the_block:
        start(tools / "python", "-c", INSTALL_AZURE)
    said = start(tools / "python", "-I", "-c", code_with(in_the_block))
    assert said.splitlines()[-1] == printed
    check_exchanges(user_agent)


def test_azcopy(
    start: Start,
    surroundings: dict[str, str],
    code_with: CodeWith,
    check_exchanges: Callable[..., None],
    container: ContainerClient,
    azcopy: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "numbers.csv").write_text("n\n3\n4\n5\n")
    surroundings["PATH"] = f"{azcopy.parent}:{surroundings['PATH']}"
    said = start("bash", "-euc", code_with("azcopy copy"))
    check_exchanges("azsdk-go-azidentity/")
    assert "copy.csv; Content Length: 8.00 B" in said.splitlines()
    assert container.download_blob("copy.csv").readall() == b"n\n3\n4\n5\n"


@pytest.fixture(scope="session")
def azcopy() -> Path:
    try:
        return installed_azcopy()
    except SystemExit as missing:
        pytest.fail(str(missing), pytrace=False)


def test_azure_cli(
    start: Start,
    surroundings: dict[str, str],
    code_with: CodeWith,
    check_exchanges: Callable[..., None],
    azure: OfflineAzure,
    tools: Path,
    resource_manager: None,
) -> None:
    surroundings["PATH"] = f"{tools}:{surroundings['PATH']}"
    surroundings["AZURE_CORE_COLLECT_TELEMETRY"] = "no"
    said = start("bash", "-euc", code_with("az login"))
    assert said.split() == ["[", '"numbers.csv"', "]"]
    # It knows nothing of AZURE_AUTHORITY_HOST.
    check_exchanges("python-requests/", host="login.microsoftonline.com")
    assert [one.scope for one in azure.entra.exchanges] == [f"{ARM}/.default", "https://storage.azure.com/.default"]


@pytest.fixture
def resource_manager(running_azure: OfflineAzure) -> Iterator[None]:
    """Azure Resource Manager, as far as signing in asks it: the identity has a role in no subscription."""

    async def subscriptions(request: Request) -> Response:
        assert request.headers["authorization"].startswith("Bearer ")
        return JSONResponse({"value": []})

    running_azure.entra.register_resource(ARM)
    # The host is the recorder's again afterwards, where another test has made that.
    with running_azure.serving(Starlette(routes=[Route("/subscriptions", subscriptions)]), "management.azure.com"):
        yield
