"""The file system of Microsoft Graph: SharePoint and OneDrive, without a secret."""

from collections.abc import Iterator

import pytest
from airflow.providers.microsoft.azure.fs.msgraph import get_fs
from airflow.sdk import ObjectStoragePath
from msgraphfs import MSGDriveFS

from airflow_azure_wi import at
from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.recorder import Answer, Recorder
from tests.stock.conftest import Connect

CONTENTS = "contents.sharepoint.com"
DRIVE = "/v1.0/drives/d"
FILE = {
    "id": "f",
    "name": "report.txt",
    "size": 5,
    "file": {"mimeType": "text/plain"},
    "parentReference": {"path": "/drives/d/root:/reports", "driveId": "d", "id": "p"},
}
UPLOAD = {"uploadUrl": f"https://{CONTENTS}/upload?tempauth=1", "expirationDateTime": "2999-01-01T00:00:00Z"}
BLOCK = 320 * 1024
ANSWERS = (
    Answer(r"GET graph\.microsoft\.com/v1\.0/sites\?search=Team$", {"value": [{"id": "s"}]}),
    Answer("GET /v1.0/sites/s/drives$", {"value": [{"id": "d", "name": "Documents"}]}),
    Answer(f"GET {DRIVE}/.*/content$", "", 302, {"Location": f"https://{CONTENTS}/download?tempauth=1"}),
    Answer(f"GET {CONTENTS}/download", "Hello"),
    Answer(f"POST {DRIVE}/.*/createUploadSession$", UPLOAD),
    Answer(f"(PUT|POST) {CONTENTS}/upload", UPLOAD, 202),
    Answer(f"GET {DRIVE}/", FILE),
)


@pytest.fixture(autouse=True)
def forget_file_systems() -> Iterator[None]:
    """A file system keeps its HTTP client, and with that the proxy and the certificates of an offline Azure."""
    yield
    for kind in (MSGDriveFS, *MSGDriveFS.__subclasses__()):
        kind.clear_instance_cache()


@pytest.fixture
def graph(recorder: Recorder) -> Recorder:
    recorder.answers = ANSWERS
    return recorder


def tokens_by_host(graph: Recorder) -> set[tuple[str, str | None, str | None]]:
    """Return which host got an access token for what, and of whom; None for a request without one."""
    asked = ((request.host, request.claims or {}) for request in graph.requests)
    return {(host, claims.get("aud"), claims.get("appid")) for host, claims in asked}


def test_a_file_is_read_by_the_names_of_its_site_and_library(
    connection: str, graph: Recorder, identity: ManagedIdentity, azure: OfflineAzure
) -> None:
    path = ObjectStoragePath("sharepoint://Team/Documents/reports/report.txt", conn_id=connection)
    assert path.read_text() == "Hello"
    assert tokens_by_host(graph) == {
        ("graph.microsoft.com", "https://graph.microsoft.com", identity.client_id),
        (CONTENTS, None, None),
    }
    assert len(azure.entra.exchanges) == 1


def test_a_file_is_written_in_the_drive_of_the_connection(
    connect: Connect, graph: Recorder, identity: ManagedIdentity
) -> None:
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json() | {"drive_id": "d"})
    path = ObjectStoragePath("msgd://reports/report.txt", conn_id="azure_wi")
    with path.open("wb", block_size=BLOCK) as file:
        file.write(b"x" * (BLOCK + 1))
    sent = [request.body for request in graph.requests if request.host == CONTENTS and request.method == "PUT"]
    assert b"".join(sent) == b"x" * (BLOCK + 1)
    assert tokens_by_host(graph) == {
        ("graph.microsoft.com", "https://graph.microsoft.com", identity.client_id),
        (CONTENTS, None, None),
    }


def test_the_call_chooses_the_drive(connection: str, graph: Recorder) -> None:
    assert get_fs(connection, {"drive_id": "d"}).cat_file("reports/report.txt") == b"Hello"


def test_an_endpoint_that_would_not_be_called_is_refused(connection: str, graph: Recorder) -> None:
    with pytest.raises(EndpointError, match=r"would ignore: it sends its requests to graph\.microsoft\.com"):
        get_fs(at(connection, "https://graph.microsoft.us"))
    assert graph.requests == []


def test_connections_of_microsoft_graph_stay_as_they_are(connect: Connect) -> None:
    connect("graph", "msgraph", extra={"drive_id": "d"}, login="id", password="secret", host="tenant")
    assert type(get_fs("graph")) is MSGDriveFS
    assert get_fs("graph").client.client_secret == "secret"


def test_credentials_of_the_call_override_the_connection(connection: str) -> None:
    options = {"drive_id": "d", "client_id": "id", "client_secret": "secret", "tenant_id": "tenant"}
    assert get_fs(connection, options).client.client_secret == "secret"
