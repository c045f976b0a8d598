"""A stock provider that is not what the bridge knows: one warning, and the stock code is left as it is."""

import asyncio
import functools
import inspect
import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from airflow_azure_wi.bridge import connections, credentials, imports, other_providers, table
from airflow_azure_wi.bridge.imports import warn_once

REPLACEMENTS = vars(credentials) | vars(other_providers)


@pytest.fixture(autouse=True)
def forget_warnings() -> None:
    warn_once.cache_clear()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def make_default(**ids: Any) -> dict[str, Any]:
    return ids


def test_a_factory_of_another_kind_is_left_alone_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    utils = ModuleType(f"{table.STOCK}.utils")
    utils.get_sync_default_azure_credential = make_default
    utils.get_async_default_azure_credential = functools.partial(make_default)
    for _ in range(2):
        imports.patch(utils, REPLACEMENTS)
    [warning] = warnings_in(caplog)
    assert f"{table.STOCK}.utils.get_sync_default_azure_credential" in warning
    assert utils.get_sync_default_azure_credential is make_default


def test_a_factory_keeps_its_arguments_and_is_the_same_object_for_all_who_imported_it() -> None:
    utils = ModuleType(f"{table.STOCK}.utils")
    factory = functools.partial(make_default, use_async=False)
    utils.get_sync_default_azure_credential = utils.get_async_default_azure_credential = factory
    imports.patch(utils, REPLACEMENTS)
    assert utils.get_sync_default_azure_credential is factory
    assert factory(managed_identity_client_id="id") == {"use_async": False, "managed_identity_client_id": "id"}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (f"{table.STOCK}.hooks.base_azure", "AzureBaseHook.get_conn"),
        (f"{table.DATABRICKS}.hooks.databricks_sql", "DatabricksSqlHook._get_extra_config"),
    ],
)
def test_a_missing_method_is_named_once(name: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    module = ModuleType(name)
    class_name = method.partition(".")[0]
    setattr(module, class_name, type(class_name, (), {}))
    for _ in range(2):
        imports.patch(module, REPLACEMENTS)
    [warning] = warnings_in(caplog)
    assert f"{name} has no {method}" in warning


def test_what_a_stock_version_does_not_have_yet_is_not_missing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = ModuleType(table.STOCK)
    stock.__version__ = "12.3.1"
    monkeypatch.setitem(sys.modules, table.STOCK, stock)
    imports.patch(ModuleType(f"{table.STOCK}.hooks.synapse"), REPLACEMENTS)
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("methods", [{}, {"get_connection": lambda self, conn_id: conn_id}])
def test_a_base_hook_without_its_method_is_named_and_left_alone(
    methods: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    base_hook = type("BaseHook", (), {"__module__": "airflow.somewhere", **methods})
    connections.patch(base_hook)
    [warning] = warnings_in(caplog)
    assert "airflow.somewhere.BaseHook has no get_connection" in warning
    assert vars(base_hook).get("get_connection") is methods.get("get_connection")


def connection_of(conn_id: str, conn_type: str = "http") -> Any:
    return SimpleNamespace(conn_id=conn_id, conn_type=conn_type)


class PatchedMethod:
    """What a library that patches methods leaves in the class."""

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        return connection_of


def test_a_base_hook_of_static_methods_is_read_through_classes_and_instances(caplog: pytest.LogCaptureFixture) -> None:
    async def aconnection_of(conn_id: str) -> Any:
        return connection_of(conn_id)

    class BaseHook:
        get_connection = staticmethod(connection_of)
        aget_connection = staticmethod(aconnection_of)

    connections.patch(BaseHook)
    for reader in (BaseHook, BaseHook(), type("Derived", (BaseHook,), {})):
        assert reader.get_connection("one").conn_id == "one"
        assert reader.get_connection(conn_id="one").conn_id == "one"
        assert asyncio.run(reader.aget_connection("one")).conn_id == "one"
    assert warnings_in(caplog) == []


def test_a_patched_method_is_called_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    class BaseHook:
        get_connection = PatchedMethod()

    connections.patch(BaseHook)
    assert BaseHook.get_connection("one", conn_type="mysql").conn_type == "mysql"
    assert warnings_in(caplog) == []


def test_it_has_the_signature_of_what_it_replaces() -> None:
    class BaseHook:
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            return connection_of(conn_id)

        @classmethod
        async def aget_connection(cls, conn_id: str) -> Any:
            return connection_of(conn_id)

    connections.patch(BaseHook)
    for method in ("get_connection", "aget_connection"):
        assert list(inspect.signature(getattr(BaseHook, method)).parameters) == ["conn_id"]
    with patch.object(BaseHook, "get_connection", autospec=True, return_value="mocked"):
        assert BaseHook.get_connection("one") == "mocked"


def test_a_class_of_somebody_else_is_no_stock_hook_whatever_its_name() -> None:
    class BaseHook:
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            return connection_of(conn_id, "azure_workload_identity")

    connections.patch(BaseHook)
    for name in ("BaseHook", "WasbHook", "AzureBaseHook"):
        reader = type(name, (BaseHook,), {"__module__": "my_hooks"})
        assert vars(reader.get_connection("one")) == vars(connection_of("one", "azure_workload_identity"))


def test_every_replacement_of_the_table_exists() -> None:
    for function in table.PATCHED_FUNCTIONS:
        assert callable(REPLACEMENTS[function.replacement])
