"""The page in Airflow 3.1 and later: who gets what of it, below a path, with the auth manager of this environment."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_azure_wi.testing import OfflineAzure
from tests.airflow_program import Airflow
from tests.airflow_standalone import end, free_ports

HAS_FAB = find_spec("airflow.providers.fab") is not None

ROLES = ("viewer", "user", "op", "admin")
PATH = "/some/path"
ADD_FAB_USERS = """
import sys
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
with get_application_builder() as builder:
    for name in sys.argv[1:]:
        role = builder.sm.find_role(name.capitalize())
        assert builder.sm.add_user(name, name, name, f"{name}@example.com", role=role, password=name), name
"""

PASTED = json.dumps({"clientId": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10", "tenantId": "contoso.onmicrosoft.com"})
LINK = {
    "identity_name": "airflow", "resource_group": "data", "what": "helm", "release": "airflow", "namespace": "airflow",
    "issuer": "https://oidc.example.com/",
}  # fmt: skip
# Each route, with what it is asked, and a word of the answer.
ROUTES: dict[str, tuple[Any, str]] = {
    "": (None, "Run in terminal"),
    "link": (LINK, "federated-credential create"),
    "connection": ({"pasted": PASTED, "connection_id": "azure_wi"}, "AIRFLOW_CONN_AZURE_WI"),
    "check": ({"connection_id": "azure_wi"}, "Signed in as"),
}
# From the outside of a role: anonymous people are not signed in; viewers and users may not read connections.
STATUS = {"anonymous": 401, "viewer": 403, "user": 403, "op": 200, "admin": 200}


class Answer(NamedTuple):
    status: int
    headers: Message
    text: str


class Server:
    """An API server of its own, below a path."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log
        self._tokens = {"anonymous": ""}

    def ask(self, path: str, body: Any = None, *, user: str = "anonymous") -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Cookie": f"_token={self._token(user)}"}
        request = urllib.request.Request(f"{self.address}{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, response.headers, response.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read().decode())

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            answer = self.ask("/auth/token", {"username": user, "password": user})
            assert answer.status == 201, answer
            self._tokens[user] = json.loads(answer.text)["access_token"]
        return self._tokens[user]

    def is_up(self) -> bool:
        try:
            return self.ask("/api/v2/version").status == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(airflow: Airflow, running_azure: OfflineAzure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("page")
    [port] = free_ports(1)
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({role: role for role in ROLES}))
    connection = {"conn_type": "azure_workload_identity", "extra": running_azure.identity_json()}
    variables = airflow.variables | running_azure.environment() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}{PATH}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of these tests alone, and long enough for SHA-512 to be content with it, too",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW_CONN_AZURE_WI": json.dumps(connection),
    }  # fmt: skip
    if HAS_FAB:
        variables["AIRFLOW__CORE__AUTH_MANAGER"] = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    program = Airflow(variables)
    program.run("db", "migrate")
    if HAS_FAB:
        program.python(ADD_FAB_USERS, *ROLES)
    log = home / "api-server.txt"
    command = [str(Path(sys.executable).parent / "airflow"), "api-server"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=output, start_new_session=True)
        try:
            server = Server(f"http://127.0.0.1:{port}{PATH}", log)
            deadline = time.monotonic() + 240
            while not server.is_up():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield server
        finally:
            end(process)


@pytest.mark.parametrize("user", STATUS)
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_answers_those_who_may(server: Server, route: str, user: str) -> None:
    body, found = ROUTES[route]
    answer = server.ask(f"/azure-workload-identity/{route}", body, user=user)
    assert answer.status == STATUS[user], answer
    assert (found in answer.text) == (answer.status == 200)
    assert "eyJ" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.status != 200:
        assert answer.headers.get_content_type() == "text/html"
        assert "</html>" in answer.text


def test_the_style_of_a_refusal_is_found_below_the_path(server: Server) -> None:
    answer = server.ask("/azure-workload-identity/")
    [style] = [part.split('"')[1] for part in answer.text.split("href=")[1:]]
    assert style.startswith(f"{PATH}/azure-workload-identity/static/")
    assert server.ask(style.removeprefix(PATH)).status == 200


def test_nothing_in_the_page_is_inline_or_from_elsewhere(server: Server) -> None:
    text = server.ask("/azure-workload-identity/", user="admin").text
    assert "<style" not in text
    assert " style=" not in text
    assert " onclick=" not in text
    sources = [part.split('"')[1] for name in ("src=", "href=") for part in text.split(name)[1:]]
    assert sources
    assert all(source.startswith(("static/", "../connections")) for source in sources), sources


def test_the_page_is_in_the_menu_under_admin(server: Server) -> None:
    answer = json.loads(server.ask("/api/v2/plugins", user="admin").text)
    [plugin] = [each for each in answer["plugins"] if each["name"] == "azure_workload_identity"]
    [view] = plugin["external_views"]
    assert (view["category"], view["destination"], view["href"]) == ("admin", "nav", "azure-workload-identity/")
    assert plugin["appbuilder_views"] == []


def test_a_request_that_cannot_be_read_is_not_repeated(server: Server) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    answer = server.ask("/azure-workload-identity/check", {"connection_id": [token]}, user="admin")
    assert answer.status == 422
    assert "eyJ" not in answer.text


def test_a_connection_that_is_not_there_is_a_report(server: Server) -> None:
    answer = server.ask("/azure-workload-identity/check", {"connection_id": "no_such"}, user="op")
    report = json.loads(answer.text)
    [check] = report["checks"]
    assert (report["ok"], check["status"]) == (False, "failed")
    assert "no_such" in check["found"]
    assert "Admin > Connections" in check["nextStep"]
