"""Doing something after a module is imported, with modules made for the purpose."""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from airflow_azure_wi.bridge._imports import when_imported

NAME = "made_for_a_test"


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop(NAME, None)


def double(module: ModuleType) -> None:
    module.value *= 2


def test_it_happens_after_the_import_and_once() -> None:
    when_imported(NAME, double)
    assert NAME not in sys.modules, "waiting imports nothing"
    assert importlib.import_module(NAME).value == 2
    assert importlib.import_module(NAME).value == 2


def test_it_happens_at_once_if_the_module_is_there() -> None:
    module = importlib.import_module(NAME)
    when_imported(NAME, double)
    assert module.value == 2


def test_looking_for_a_module_is_not_importing_it() -> None:
    when_imported(NAME, double)
    assert importlib.util.find_spec(NAME) is not None
    assert importlib.import_module(NAME).value == 2


def test_a_failure_breaks_no_import(caplog: pytest.LogCaptureFixture) -> None:
    def fail(module: ModuleType) -> None:
        raise RuntimeError("not what I know")

    when_imported(NAME, fail)
    with caplog.at_level(logging.ERROR, logger="airflow_azure_wi.bridge"):
        assert importlib.import_module(NAME).value == 1
    assert NAME in caplog.text
    assert "bridge_stock_hooks = False" in caplog.text


def test_the_module_keeps_its_loader_and_origin() -> None:
    without = importlib.util.find_spec(NAME)
    when_imported(NAME, double)
    spec = importlib.import_module(NAME).__spec__
    assert type(spec.loader) is type(without.loader)
    assert (spec.origin, spec.cached) == (without.origin, without.cached)
