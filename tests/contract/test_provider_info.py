import ast
import inspect
import json
import sys
from importlib.resources import files
from unittest.mock import MagicMock

import jsonschema
import pytest
from flask_babel.speaklater import LazyString
from wtforms import StringField

from airflow_azure_wi import provider
from airflow_azure_wi.hooks.azure_workload_identity import AzureWorkloadIdentityHook


def test_the_provider_info_is_what_airflow_accepts() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(provider.get_provider_info(), schema)


def test_it_is_data_and_imports_nothing() -> None:
    imported = [node for node in ast.walk(ast.parse(inspect.getsource(provider))) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imported] == ["typing"]


def test_the_names_of_the_hook_are_those_of_the_provider_info() -> None:
    [connection_type] = provider.get_provider_info()["connection-types"]
    assert connection_type["connection-type"] == AzureWorkloadIdentityHook.conn_type
    assert connection_type["hook-name"] == AzureWorkloadIdentityHook.hook_name
    hook = f"{AzureWorkloadIdentityHook.__module__}.{AzureWorkloadIdentityHook.__qualname__}"
    assert connection_type["hook-class-name"] == hook


def test_older_forms_are_made_from_the_same_description() -> None:
    widgets = AzureWorkloadIdentityHook.get_connection_form_widgets()
    for widget, field in zip(widgets.values(), provider.FIELDS.values(), strict=True):
        assert widget.field_class is StringField
        assert isinstance(widget.args[0], LazyString)
        assert isinstance(widget.kwargs["description"], LazyString)
        assert widget.args[0] == field.label
        assert widget.kwargs["description"] == field.description
    behaviour = AzureWorkloadIdentityHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == provider.FORM["hidden-fields"]
    assert behaviour["placeholders"] == dict(zip(widgets, provider.FORM["placeholders"].values(), strict=True))


@pytest.mark.parametrize("module", [None, MagicMock()], ids=["missing", "mocked"])
def test_a_label_is_a_text_whatever_airflow_puts_in_place_of_flask_babel(
    module: MagicMock | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flask_babel", module)
    widgets = AzureWorkloadIdentityHook.get_connection_form_widgets()
    assert [widget.args[0] for widget in widgets.values()] == [field.label for field in provider.FIELDS.values()]
    assert all(type(widget.kwargs["description"]) is str for widget in widgets.values())
