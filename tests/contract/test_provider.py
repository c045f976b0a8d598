"""What Airflow knows of the package without any DAG: the provider, the form, connections on the command line."""

import json
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import pytest

from airflow_azure_wi import __version__
from tests.airflow_program import Airflow

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])

# Where the FAB provider is, it has always brought flask-babel.
HAS_FAB = find_spec("flask_appbuilder") is not None
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""
# What the page of Airflow 3 is sent to draw its forms from.
READ_FORM_3 = """
import json
from airflow.configuration import conf
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
forms = HookMetaService.hook_meta_data()
[form] = [f for f in forms if f.connection_type == "azure_workload_identity"]
standard = form.standard_fields.model_dump()
print(json.dumps({
    "name": form.hook_name,
    "texts": {
        f"{form.connection_type}.{name}": [field["schema"].get("title"), field["description"]]
        for form in forms for name, field in (form.extra_fields or {}).items()
    },
    "fields": {
        name: {"label": field["schema"]["title"], "help": field["description"], "type": field["schema"]["type"]}
        for name, field in form.extra_fields.items()
    },
    "hidden": sorted(name for name, field in standard.items() if field and field["hidden"]),
    "token_cache": conf.get("azure_workload_identity", "token_cache"),
}))
"""
NAMES = ["clientId", "tenantId", "subscriptionId"]
if AIRFLOW < (3, 0):
    # An empty field of that form removes the key of its name from the extra.
    NAMES = ["client_id", "tenant_id", "subscription_id"]
# What the form of Airflow 2 is made of.
READ_FORM_2 = """
import json
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
prefix = "extra__azure_workload_identity__"
behaviour = manager.field_behaviours["azure_workload_identity"]
widgets = manager.connection_form_widgets.items()
fields = {name[len(prefix):]: widget.field for name, widget in widgets if name.startswith(prefix)}
texts = {name: [w.field.args[0], w.field.kwargs.get("description")] for name, w in widgets if w.field.args}
print(json.dumps({
    "name": manager.hooks["azure_workload_identity"].hook_name,
    "texts": {name: [text and str(text) for text in both] for name, both in texts.items()},
    "classes": sorted({type(text).__name__ for name in texts if name.startswith(prefix) for text in texts[name]}),
    "fields": {
        name: {
            "label": str(field.args[0]),
            "help": str(field.kwargs["description"]),
            "type": field.field_class.__name__,
        }
        for name, field in fields.items()
    },
    "hidden": sorted(behaviour["hidden_fields"]),
    "placeholders": sorted(behaviour["placeholders"]),
    "token_cache": conf.get("azure_workload_identity", "token_cache"),
}))
"""


@pytest.fixture(scope="session")
def form(airflow: Airflow) -> dict[str, Any]:
    return read_form(airflow)


def read_form(airflow: Airflow, *hidden: str) -> dict[str, Any]:
    """Return what Airflow draws forms from, in a process that cannot find some modules."""
    printed = airflow.python(HIDE + (READ_FORM_3 if AIRFLOW >= (3, 0) else READ_FORM_2), *hidden)
    return json.loads(printed.strip().splitlines()[-1])


def test_the_provider_is_listed(airflow: Airflow) -> None:
    [ours] = [row for row in airflow.rows("providers", "list") if row["package_name"] == "airflow-azure-wi"]
    assert ours["version"] == __version__


def test_the_connection_type_belongs_to_the_hook_and_nothing_is_complained_of(airflow: Airflow) -> None:
    done = airflow.run("providers", "hooks", "--output", "plain")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "azure_wi" in line or "azure-wi" in line]
    hook = "airflow_azure_wi.hooks.azure_workload_identity.AzureWorkloadIdentityHook"
    expected = ["azure_workload_identity", hook, "conn_id", "airflow-azure-wi", "Azure", "Workload", "Identity"]
    assert [line.split()[:7] for line in said] == [expected], "our line of the table, and no complaint"


def test_the_form_has_the_three_fields_and_no_others(form: dict[str, Any]) -> None:
    assert form["name"] == "Azure Workload Identity"
    assert list(form["fields"]) == NAMES
    labels = [field["label"] for field in form["fields"].values()]
    assert labels == ["Client ID", "Tenant ID", "Subscription ID"]
    assert all("az " in field["help"] for field in form["fields"].values()), "help says where the value is found"
    url_schema = "schema" if AIRFLOW < (3, 0) else "url_schema"
    assert form["hidden"] == sorted(["host", url_schema, "login", "password", "port"])


def test_the_form_wants_client_and_tenant_where_it_can_want_anything(form: dict[str, Any]) -> None:
    optional = "StringField" if AIRFLOW < (3, 0) else ["string", "null"]
    # The page of Airflow 3.2 and later is the first that knows mandatory fields.
    mandatory = "string" if AIRFLOW >= (3, 2) else optional
    types = {name: field["type"] for name, field in form["fields"].items()}
    assert types == dict(zip(NAMES, [mandatory, mandatory, optional], strict=True))


def test_the_texts_of_all_forms_are_what_they_are_without_flask_babel(airflow: Airflow, form: dict[str, Any]) -> None:
    texts = form["texts"]
    # 3.0 without the FAB provider has the form of no other provider that uses widgets of FAB.
    assert len(texts) > (len(NAMES) - 1 if AIRFLOW == (3, 0) and not HAS_FAB else 50)
    assert not [name for name, both in texts.items() if "Mock" in str(both) or not both[0]]
    without = texts if HAS_FAB else read_form(airflow, "flask_babel")["texts"]
    assert without == texts


def test_the_texts_of_the_older_form_are_translated_when_it_is_shown(form: dict[str, Any]) -> None:
    assert form.get("classes", ["LazyString"]) == ["LazyString"], "Airflow 3 sends texts"


def test_the_options_are_known_to_the_configuration(form: dict[str, Any]) -> None:
    assert form["token_cache"] == "memory"
