"""What somebody who may edit a connection can write into it, and what stock hooks then do: what they did without it."""

import ast
import importlib
import inspect
import json
import logging
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import airflow.providers.microsoft.azure as stock
import pytest
from airflow.providers.microsoft.azure import hooks
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

from airflow_azure_wi import at
from airflow_azure_wi.airflow_compat import BaseHook
from airflow_azure_wi.bridge import table
from airflow_azure_wi.bridge.imports import warn_once
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from tests.recorder import Answer, Recorder
from tests.stock.cases import CASES, Case
from tests.stock.conftest import Connect

ELSEWHERE = "https://lake.blob.core.windows.net"
ELSEWHERE_HOST = "lake.blob.core.windows.net"
STORAGE = "https://storage.azure.com"
KEY = "a2V5" * 22
OPTIONS: dict[str, object] = {"resource_group": "rg", "resource_group_name": "rg", "trust_env": True}

# By what the answer to "what would it do?" is.
ANOTHER_DESTINATION: dict[str, object] = {
    "_hosts": {"primary": ELSEWHERE_HOST, "secondary": ELSEWHERE_HOST},
    "secondary_hostname": ELSEWHERE_HOST,
    "api_version": f"{ELSEWHERE}/",
    "base_url": f"{ELSEWHERE}/",
    "connection_verify": False,
    "proxies": {"https": ELSEWHERE, "http": ELSEWHERE},
    "verify": False,
    "transport": "another",
    "redirect_uri": ELSEWHERE,
    "token_endpoint": ELSEWHERE,
    "authority": ELSEWHERE_HOST,
}
ANOTHER_AUDIENCE: dict[str, object] = {
    "audience": "https://vault.azure.net",
    "scope": "https://vault.azure.net/.default",
    "scopes": "https://vault.azure.net/.default",
    "credential_scopes": ["https://vault.azure.net/.default"],
}
ANOTHER_IDENTITY: dict[str, object] = {
    "account_key": KEY,
    "anon": True,
    "auth_method": "AAD_DEVICE",
    "certificate": "pem",
    "certificate_data": "pem",
    "certificate_path": "/etc/passwd",
    "client_secret": "secret",
    "client_secret_auth_config": {"authority": ELSEWHERE_HOST},
    "code_challenge_method": "S256",
    "connection_string": f"DefaultEndpointsProtocol=https;AccountName=lake;AccountKey={KEY}==;BlobEndpoint={ELSEWHERE}",
    "credential": "key",
    "disable_instance_discovery": True,
    "key_json": {"clientId": "another"},
    "key_path": "/tmp/another.json",
    "password": "secret",
    "sas_token": f"{ELSEWHERE}?sv=1&sig=a2V5",
    "shared_access_key": KEY,
    "tenant": "another.onmicrosoft.com",
    "thumbprint": "00",
    "token_endpoint_auth_method": "none",
    "update_token": "another",
    "username": "another",
    "workload_identity_client_id": "0b1f6471-1bf0-4dda-aec3-cb9272f09590",
}
DANGEROUS = ANOTHER_DESTINATION | ANOTHER_AUDIENCE | ANOTHER_IDENTITY
# A connection without an endpoint of the call has these from whoever edits it.
ENDPOINTS: dict[str, object] = {
    "account_host": ELSEWHERE_HOST,
    "account_name": "lake",
    "account_url": ELSEWHERE,
    "endpoint": ELSEWHERE,
    "fully_qualified_namespace": ELSEWHERE_HOST,
}
IDENTITY = {
    "clientId",
    "client_id",
    "cloud_environment",
    "managed_identity_client_id",
    "subscriptionId",
    "subscription_id",
    "tenantId",
    "tenant_id",
    "workload_identity_tenant_id",
}


def _account_of(hook: Any, conn_id: str) -> None:
    hook(conn_id).get_conn().get_account_information()


async def _async_account_of(hook: Any, conn_id: str) -> None:
    async with await hook(conn_id).get_async_conn() as client:
        await client.get_account_information()


def _abfs(_: Any, conn_id: str) -> None:
    from adlfs import AzureBlobFileSystem
    from airflow.providers.microsoft.azure.fs.adls import get_fs

    AzureBlobFileSystem.clear_instance_cache()
    get_fs(at(conn_id, "https://recorded.blob.core.windows.net")).exists("container/file")


def _files(_: Any, conn_id: str) -> None:
    from airflow.providers.microsoft.azure.fs.msgraph import get_fs

    files = get_fs(conn_id, {"drive_id": "d"})
    type(files).clear_instance_cache()
    assert files.exists("report.txt")


STORAGE_CASES = (
    Case(
        "wasb",
        "wasb.WasbHook",
        lambda hook, c: _account_of(hook, at(c, "https://recorded.blob.core.windows.net")),
        "recorded.blob.core.windows.net",
        STORAGE,
    ),
    Case(
        "wasb",
        "wasb.WasbAsyncHook",
        lambda hook, c: _async_account_of(hook, at(c, "https://recorded.blob.core.windows.net")),
        "recorded.blob.core.windows.net",
        STORAGE,
        is_async=True,
    ),
)
# The file system of abfs:// is no hook; it asks BaseHook.
ABFS = Case("abfs", "wasb.WasbHook", _abfs, "recorded.blob.core.windows.net", STORAGE)
# Nor is that of SharePoint.
FILES = Case(
    "sharepoint",
    "msgraph.KiotaRequestAdapterHook",
    _files,
    "graph.microsoft.com",
    "https://graph.microsoft.com",
    (Answer("GET /v1.0/drives/d/root:/report.txt:", {"id": "f"}),),
)
ALL_CASES = (*CASES, *STORAGE_CASES, ABFS, FILES)
# They take no endpoint from the call: of Microsoft Graph there is one for each cloud.
WITHOUT_AN_ENDPOINT_OF_THE_CALL = {"msgraph"}


@pytest.fixture(autouse=True)
def forget_warnings() -> None:
    warn_once.cache_clear()


@pytest.fixture
def asked(azure: OfflineAzure, recorder: Recorder) -> Recorder:
    azure.entra.register_resource("https://*.asazure.windows.net")
    return recorder


def tokens_of(case: Case, conn_id: str, recorder: Recorder) -> set[tuple[str, str, str]]:
    """Run a case, and return which host got an access token for what, and of whom."""
    recorder.requests.clear()
    recorder.answers = case.answers
    case.run(conn_id)
    return {
        (request.host, claims["aud"], claims["appid"]) for request in recorder.requests if (claims := request.claims)
    }


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_no_extra_sends_a_token_elsewhere_or_replaces_the_identity(
    case: Case, connect: Connect, asked: Recorder, identity: ManagedIdentity
) -> None:
    expected = {(case.host, case.audience, identity.client_id)}
    for kind in (ANOTHER_DESTINATION, ANOTHER_AUDIENCE, ANOTHER_IDENTITY):
        extra = identity.as_json() | OPTIONS | kind
        connect("azure_wi", "azure_workload_identity", extra=extra, password="secret")
        assert tokens_of(case, "azure_wi", asked) == expected


@pytest.mark.parametrize("name", DANGEROUS)
def test_no_extra_alone_changes_what_the_hook_of_blob_storage_sends(
    name: str, connect: Connect, asked: Recorder, identity: ManagedIdentity
) -> None:
    """It passes its whole extra on to the client."""
    [case, _] = STORAGE_CASES
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json() | {name: DANGEROUS[name]})
    assert tokens_of(case, "azure_wi", asked) == {(case.host, case.audience, identity.client_id)}


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_an_endpoint_of_the_call_is_the_only_one(
    case: Case, connect: Connect, asked: Recorder, identity: ManagedIdentity
) -> None:
    if case.connection_type in WITHOUT_AN_ENDPOINT_OF_THE_CALL:
        case = replace(case, call=_graph_at, host="graph.microsoft.us")
    extra = identity.as_json() | OPTIONS | ENDPOINTS | ANOTHER_DESTINATION
    fields = {"host": ELSEWHERE, "login": ELSEWHERE, "schema": "http", "port": 1}
    connect("azure_wi", "azure_workload_identity", extra=extra, **fields)
    assert tokens_of(case, "azure_wi", asked) == {(case.host, case.audience, identity.client_id)}


@pytest.mark.parametrize("case", STORAGE_CASES, ids=lambda case: case.name)
def test_without_an_endpoint_of_the_call_that_of_the_connection_counts(
    case: Case, connect: Connect, asked: Recorder, identity: ManagedIdentity
) -> None:
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json(), host=ELSEWHERE)
    plain = replace(case, call=_async_account_of if case.is_async else _account_of)
    assert tokens_of(plain, "azure_wi", asked) == {(ELSEWHERE_HOST, STORAGE, identity.client_id)}


async def _graph_at(hook: Any, conn_id: str) -> None:
    opened = hook(at(conn_id, "https://graph.microsoft.us"))
    try:
        await opened.run("users")
    finally:
        hook.cached_request_adapters.clear()


def hook_classes() -> Iterator[type[Any]]:
    """Yield every hook class of the installed stock provider, and BaseHook, which its functions ask."""
    yield BaseHook
    for module in pkgutil.iter_modules(hooks.__path__):
        for found in vars(importlib.import_module(f"{hooks.__name__}.{module.name}")).values():
            if inspect.isclass(found) and issubclass(found, BaseHook) and found.__module__.startswith(hooks.__name__):
                yield found


@pytest.mark.parametrize("reader", sorted(set(hook_classes()), key=lambda reader: reader.__name__))
def test_no_hook_is_shown_any_of_them(reader: type[Any], connect: Connect, identity: ManagedIdentity) -> None:
    fields = {"host": "https://acct.blob.core.windows.net", "password": "secret"}
    prefixed = {f"extra__{prefix}__{name}": value for prefix in ("wasb", "azure") for name, value in DANGEROUS.items()}
    for extra in (DANGEROUS, prefixed):
        connect("azure_wi", "azure_workload_identity", extra=identity.as_json() | OPTIONS | extra, **fields)
        read = reader.get_connection("azure_wi")
        for stated in (read.extra_dejson, json.loads(read.extra)):
            # The bridge itself chooses the method of Data Explorer.
            assert stated.pop("auth_method", "AZURE_TOKEN_CRED") == "AZURE_TOKEN_CRED"
            assert set(stated) & (set(DANGEROUS) | set(prefixed)) == set()
            assert set(stated) <= IDENTITY | set(table.SETTINGS) | table.endpoint_extras()
        assert read.password is None


def test_every_extra_that_a_stock_hook_reads_is_known() -> None:
    """A new one that turns this red is left out already: decide whether it is a setting, an endpoint or dangerous."""
    known = IDENTITY | set(table.SETTINGS) | table.endpoint_extras() | set(DANGEROUS)
    assert set(extras_read()) <= known


def extras_read() -> Iterator[str]:
    for file in Path(stock.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            for name in _names_read_by(node):
                yield re.sub(r"^extra__[a-z_]+?__", "", name)


def _names_read_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func)
        if function.rpartition(".")[2] in ("get_field", "_get_field", "get_required_param"):
            yield from _texts([*node.args, *(keyword.value for keyword in node.keywords)])
        elif re.search(r"(extra|config)\w*\.(get|pop)$", function):
            yield from _texts(node.args[:1])
    elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "fields" and isinstance(node.value, ast.List):
        yield from _texts(node.value.elts)


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    return (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "http://acct.blob.core.windows.net"),
        ("host", "https://user:secret@acct.blob.core.windows.net"),
        ("host", "Data Source=https://acct.kusto.windows.net;AppClientId=another;AppKey=secret"),
        ("login", "somebody@contoso.com"),
        ("schema", "http"),
        ("schema", "Endpoint=sb://acct.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k"),
    ],
)
def test_a_field_that_is_no_endpoint_is_left_out(
    field: str, value: str, connect: Connect, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json(), **{field: value})
    assert getattr(AzureBaseHook.get_connection("azure_wi"), field) is None
    assert f"'{field}'" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "https://acct.blob.core.windows.net"),
        ("host", "https://127.0.0.1:10000/acct"),
        ("host", "acct"),
        ("host", "acct.westeurope.kusto.windows.net:443"),
        ("login", "acct"),
        ("login", "https://acct.documents.azure.com:443"),
        ("schema", "https"),
    ],
)
def test_a_field_that_names_an_endpoint_is_shown(
    field: str, value: str, connect: Connect, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json(), **{field: value})
    assert getattr(AzureBaseHook.get_connection("azure_wi"), field) == value
    assert caplog.text == ""


def test_settings_are_shown_also_under_the_names_of_older_forms(connect: Connect, identity: ManagedIdentity) -> None:
    extra = {"extra__azure_data_factory__factory_name": "f", "max_block_size": 4194304, "api_version": "beta"}
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json() | extra)
    read = AzureBaseHook.get_connection("azure_wi").extra_dejson
    assert (read["factory_name"], read["max_block_size"], read["api_version"]) == ("f", 4194304, "beta")


def test_one_warning_names_what_is_left_out_and_shows_no_value(
    connect: Connect, identity: ManagedIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    extra = identity.as_json() | {"sas_token": "sv=1&sig=ZGF0YQ", "_hosts": {}, "\x1b[31m": 1}
    connect("azure_wi", "azure_workload_identity", extra=extra, password="pa55word")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            AzureBaseHook.get_connection("azure_wi")
            BaseHook.get_connection("azure_wi")
    [warning] = [record.getMessage() for record in caplog.records if record.name == "airflow_azure_wi.bridge"]
    assert warning.startswith(
        "connection 'azure_wi': stock Azure hooks are not shown 'password', 'sas_token', '_hosts'"
    )
    assert "ZGF0YQ" not in warning
    assert "pa55word" not in warning
    assert "\x1b" not in warning


def test_a_storage_host_chooses_the_service_of_the_token(
    connect: Connect, recorder: Recorder, identity: ManagedIdentity, workload: OfflineAzure
) -> None:
    """The page about security says it: azure-storage asks for a token of the resource in a server's challenge."""
    [case, _] = STORAGE_CASES
    challenge = (
        f"Bearer authorization_uri=https://login.microsoftonline.com/{identity.tenant_id}/oauth2/authorize "
        "resource_id=https://vault.azure.net"
    )
    recorder.answers = (Answer("HEAD|GET", "", 401, {"WWW-Authenticate": challenge}),)
    connect("azure_wi", "azure_workload_identity", extra=identity.as_json(), host=f"https://{case.host}")
    with pytest.raises(Exception, match="Unauthorized"):
        WasbHook("azure_wi").get_conn().get_account_information()
    audiences = {request.claims["aud"] for request in recorder.requests if request.claims}
    assert audiences == {STORAGE, "https://vault.azure.net"}
