"""The plugin with the page: every process of every Airflow loads it, 3.1 and later show it."""

import json

from tests.airflow_program import Airflow
from tests.contract.conftest import HAS_PAGE

READ = """
import json, sys, time, warnings
import airflow.plugins_manager as manager
warnings.simplefilter("error")
started = time.process_time()
import airflow_azure_wi.page.plugin
seconds = time.process_time() - started
warnings.resetwarnings()
if hasattr(manager, "_get_plugins"):  # 3.2 and later
    plugins, errors = manager._get_plugins()
else:
    manager.ensure_plugins_loaded()
    plugins, errors = manager.plugins, manager.import_errors
[plugin] = [each for each in plugins if each.name == "azure_workload_identity"]
print(json.dumps({
    "views": [view["href"] for view in getattr(plugin, "external_views", [])],
    "apps": [app["url_prefix"] for app in getattr(plugin, "fastapi_apps", [])],
    "errors": str(errors),
    "built": "airflow_azure_wi.page.app" in sys.modules,
    "seconds": seconds,
}))
"""


def test_it_is_loaded_without_a_warning_and_costs_next_to_nothing(airflow: Airflow) -> None:
    plugin = json.loads(airflow.python(READ).strip().splitlines()[-1])
    assert plugin["views"] == (["azure-workload-identity/"] if HAS_PAGE else [])
    assert plugin["apps"] == (["/azure-workload-identity"] if HAS_PAGE else [])
    assert "azure" not in plugin["errors"]
    assert not plugin["built"]
    # Of the processor; five milliseconds is what it is meant to cost at most.
    assert plugin["seconds"] < 0.02
