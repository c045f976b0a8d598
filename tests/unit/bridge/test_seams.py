"""A stock provider that is not what the bridge knows: one warning, and the stock code is left as it is."""

import functools
import logging
from types import ModuleType
from typing import Any

import pytest

from airflow_azure_wi.bridge import functions, reading, signing_in, table
from airflow_azure_wi.bridge._imports import warn_once


@pytest.fixture(autouse=True)
def forget_warnings() -> None:
    warn_once.cache_clear()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def make_default(**ids: Any) -> dict[str, Any]:
    return ids


def test_a_factory_of_another_kind_is_left_alone_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    utils = ModuleType("stock.utils")
    utils.get_sync_default_azure_credential = make_default
    utils.get_async_default_azure_credential = functools.partial(make_default)
    for _ in range(2):
        signing_in.replace_in(utils)
    [warning] = warnings_in(caplog)
    assert "stock.utils.get_sync_default_azure_credential" in warning
    assert utils.get_sync_default_azure_credential is make_default


def test_a_factory_keeps_its_arguments_and_is_the_same_object_for_all_who_imported_it() -> None:
    utils = ModuleType("stock.utils")
    factory = functools.partial(make_default, use_async=False)
    utils.get_sync_default_azure_credential = utils.get_async_default_azure_credential = factory
    signing_in.replace_in(utils)
    assert utils.get_sync_default_azure_credential is factory
    assert factory(managed_identity_client_id="id") == {"use_async": False, "managed_identity_client_id": "id"}


def test_a_missing_method_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    module = ModuleType(f"{table.STOCK}.hooks.base_azure")
    module.AzureBaseHook = type("AzureBaseHook", (), {})
    for _ in range(2):
        functions.replace_in(module)
    [warning] = warnings_in(caplog)
    assert f"{module.__name__} has no AzureBaseHook.get_conn" in warning


def test_what_a_stock_version_does_not_have_yet_is_not_missing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = ModuleType(table.STOCK)
    stock.__version__ = "12.3.1"
    monkeypatch.setitem(functions.sys.modules, table.STOCK, stock)
    functions.replace_in(ModuleType(f"{table.STOCK}.hooks.synapse"))
    assert warnings_in(caplog) == []


def test_a_base_hook_without_its_method_is_named(caplog: pytest.LogCaptureFixture) -> None:
    reading.replace_in(type("BaseHook", (), {"__module__": "airflow.somewhere"}))
    [warning] = warnings_in(caplog)
    assert "airflow.somewhere.BaseHook has no get_connection" in warning


def test_every_replacement_of_the_table_exists() -> None:
    for function in table.FUNCTIONS:
        assert callable(getattr(functions, function.replacement))
