"""The connection form for Airflow 2.11 to 3.1, made from the provider info that later versions read themselves."""

from collections.abc import Mapping
from typing import Any

from airflow_azure_wi.provider import Field


def widgets(fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the fields as WTForms fields.

    No field is made mandatory here: the form of Airflow 2.11 holds the fields of all connection types at once.

    :param fields: those of the connection.
    """
    # Imported here, at each call: Airflow 3.0 and 3.1 put stand-ins in its place while they read the forms.
    from wtforms import StringField

    return {
        name: StringField(field.label, description=field.description, widget=_text_widget())
        for name, field in fields.items()
    }


def behaviour(declared: dict[str, Any]) -> dict[str, Any]:
    """Return ``ui-field-behaviour`` of the provider info with the key names of the older interface."""
    return {
        "hidden_fields": declared["hidden-fields"],
        "relabeling": declared["relabeling"],
        "placeholders": declared["placeholders"],
    }


def _text_widget() -> Any:
    """Return the widget that fits the form of Airflow 2.11; without the FAB provider there is none to fit."""
    try:
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    except ImportError:
        return None
    return BS3TextFieldWidget()
