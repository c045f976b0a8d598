"""The faults that the simulated Entra can be told to have."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from airflow_azure_wi.testing import CloseConnection, Delay, Fault, Hang, ManagedIdentity, OfflineAzure, Refuse, Status
from tests.testing.token_requests import RequestToken


@contextmanager
def takes(at_least: float, less_than: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert at_least <= time.monotonic() - start < less_than


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AADSTS700213", 401),
        ("AADSTS90002", 400),
        ("AADSTS53003", 400),
        ("AADSTS90025", 429),
        ("AADSTS90033", 503),
        ("AADSTS1", 400),
    ],
)
def test_refuse(azure: OfflineAzure, request_token: RequestToken, code: str, status: int) -> None:
    azure.entra.fail_next(Refuse(code))

    response = request_token()

    assert response.status_code == status
    assert response.json()["error_description"].startswith(f"{code}: ")
    assert azure.entra.exchanges[-1].error_code == code


def test_refuse_mentions_what_was_asked_for(
    azure: OfflineAzure, request_token: RequestToken, identity: ManagedIdentity
) -> None:
    azure.entra.fail_next(Refuse("AADSTS700016"))

    assert f"'{identity.client_id}' was not found" in request_token().json()["error_description"]


def test_status(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(Status(429, b"<html>slow down</html>", {"Retry-After": "7", "Content-Type": "text/html"}))

    response = request_token()

    assert (response.status_code, response.content) == (429, b"<html>slow down</html>")
    assert (response.headers["Retry-After"], response.headers["Content-Type"]) == ("7", "text/html")
    assert azure.entra.exchanges[-1].error_code == "HTTP 429"


def test_close_connection(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(CloseConnection())

    with takes(0, 2), pytest.raises(requests.ConnectionError, match="without response"):
        request_token()
    assert azure.entra.exchanges[-1].error_code == "CloseConnection"


def test_hang(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(Hang(0.5))

    with takes(0.5, 3), pytest.raises(requests.ConnectionError, match="without response"):
        request_token()
    assert azure.entra.exchanges[-1].error_code == "Hang"


def test_hang_outlasts_the_timeout_of_a_client(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(Hang(60))

    with takes(0.3, 3), pytest.raises(requests.ReadTimeout):
        request_token(timeout=0.3)
    assert request_token().status_code == 200


def test_delay(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(Delay(0.5))

    with takes(0.5, 3):
        assert request_token().status_code == 200
    assert azure.entra.exchanges[-1].error_code is None


@pytest.mark.parametrize("fault", [Hang(0.4), Delay(0.4)])
def test_other_requests_do_not_wait(azure: OfflineAzure, request_token: RequestToken, fault: Fault) -> None:
    azure.entra.fail_next(fault)
    with pytest.raises(requests.ReadTimeout):
        request_token(timeout=0.05)

    with takes(0, 0.3):
        assert request_token().status_code == 200


def test_faults_come_in_their_order_and_once(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(Status(500), Status(503))
    azure.entra.fail_next(Refuse("AADSTS50027"))

    assert [request_token().status_code for _ in range(4)] == [500, 503, 400, 200]
    codes = [exchange.error_code for exchange in azure.entra.exchanges]
    assert codes == ["HTTP 500", "HTTP 503", "AADSTS50027", None]


def test_clear_forgets_faults(azure: OfflineAzure, request_token: RequestToken) -> None:
    azure.entra.fail_next(Status(500))
    azure.entra.clear()

    assert request_token().status_code == 200


def test_server_stops_at_once_while_a_client_waits(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with OfflineAzure(tmp_path_factory.mktemp("azure"), with_storage=False) as azure:
            azure.entra.fail_next(Hang(60))
            url, ca_file = f"{azure.entra.authority_host}/x/oauth2/v2.0/token", azure.environment()["SSL_CERT_FILE"]
            answer = pool.submit(requests.post, url, verify=ca_file, timeout=30)
            while not azure.entra.exchanges:
                time.sleep(0.01)
            start = time.monotonic()
        assert time.monotonic() - start < 3
        with pytest.raises(requests.ConnectionError, match="without response"):
            answer.result(timeout=3)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
