"""The pytest plugin: the fixture ``azure_workload_identity``, which runs DAG code in a test without Azure.

pytest loads it wherever this package is installed, even for unrelated tests and without the extra ``testing``. So it
imports only pytest; everything else is imported when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_azure_wi.testing import OfflineAzure, Workload

ACCOUNTS = "azure_workload_identity_accounts"
CONNECTION_IDS = "azure_workload_identity_conn_ids"
# The id that the documentation uses, and the default of the hook.
_USUAL_CONNECTION_IDS = ["azure_wi", "azure_workload_identity_default"]

# Variables that azure-identity reads and a test does not set: a developer's own values must not sign in instead.
_OF_THE_DEVELOPER = (
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_PASSWORD",
    "AZURE_TENANT_ID",
    "AZURE_TOKEN_CREDENTIALS",
    "AZURE_USERNAME",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project name the connections and the storage accounts that its DAGs use."""
    parser.addini(
        CONNECTION_IDS,
        "ids of the Airflow connections that the fixture azure_workload_identity defines",
        type="args",
        default=_USUAL_CONNECTION_IDS,
    )
    parser.addini(
        ACCOUNTS,
        "names of the storage accounts of the fixture azure_workload_identity",
        type="args",
        default=["acct"],
    )


@pytest.fixture(scope="session")
def _offline_azure(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[OfflineAzure]:
    try:
        from airflow_azure_wi.testing import OfflineAzure
        from airflow_azure_wi.testing.certificates import ANY_ACCOUNT
        from airflow_azure_wi.testing.storage_refusals import unknown_account
    except ModuleNotFoundError as error:
        pytest.fail(
            f"The fixture azure_workload_identity needs the package {error.name}, which is not installed. "
            "Run: pip install 'airflow-azure-wi[testing]'",
            pytrace=False,
        )
    accounts = pytestconfig.getini(ACCOUNTS)
    with OfflineAzure(tmp_path_factory.mktemp("offline-azure"), accounts=accounts) as azure:
        azure.serve(unknown_account(f"Name it in {ACCOUNTS}, in the configuration of pytest."), *ANY_ACCOUNT)
        yield azure


@pytest.fixture
def azure_workload_identity(
    _offline_azure: OfflineAzure,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> Iterator[Workload]:
    """Make this process a workload of an Azure on loopback, with its own managed identity and empty storage.

    Yields an ``airflow_azure_wi.testing.Workload``.
    """
    from airflow_azure_wi import airflow_compat
    from airflow_azure_wi.testing import Workload

    airflow_compat.start_over()
    let_aiohttp_trust(_offline_azure, monkeypatch)
    for name in _OF_THE_DEVELOPER:
        monkeypatch.delenv(name, raising=False)
    workload = Workload(_offline_azure, tmp_path_factory.mktemp("workload"), monkeypatch.setenv)
    for conn_id in pytestconfig.getini(CONNECTION_IDS):
        workload.add_connection(conn_id)
    yield workload
    workload.close()
    airflow_compat.start_over()


def let_aiohttp_trust(azure: OfflineAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the offline Azure, until the patches are undone, in asynchronous clients too.

    aiohttp reads SSL_CERT_FILE once, when it is imported. So import it before the test sets the variable, and give it
    the value that it would have read.
    """
    import ssl

    try:
        from aiohttp import connector
    except ModuleNotFoundError:
        return
    context = ssl.create_default_context(cafile=azure.environment()["SSL_CERT_FILE"])
    if hasattr(connector, "_SSL_CONTEXT_VERIFIED"):
        monkeypatch.setattr(connector, "_SSL_CONTEXT_VERIFIED", context)
        return
    # aiohttp 3.10.0 also reads it once, but only at the first connection.
    original = getattr(connector.TCPConnector, "_make_ssl_context")  # noqa: B009 - newer ones, as the types are, have none
    trusting = staticmethod(lambda verified: context if verified else original(verified))
    monkeypatch.setattr(connector.TCPConnector, "_make_ssl_context", trusting)
