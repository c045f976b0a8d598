"""The page about metrics: its table names each metric, and the panel's queries use names that exist."""

import json
import re

from airflow_azure_wi.auth import metrics
from tests.docs.pages import DOCS

PAGE = (DOCS / "how-to/metrics.md").read_text(encoding="utf-8")
NAMES = {metrics.EXCHANGE, metrics.DURATION, metrics.RENEWAL, metrics.DISK_CACHE_HIT}
PLAIN = {f"{metrics.EXCHANGE}.success", f"{metrics.EXCHANGE}.failure.CODE"}


def test_the_table_names_each_metric() -> None:
    assert set(re.findall(r"(?m)^\| `(azure_workload_identity\.[\w.]+)` \|", PAGE)) == NAMES | PLAIN


def test_the_queries_of_the_panel_use_these_names() -> None:
    [panel] = [json.loads(block) for block in re.findall(r"(?s)```json\n(.*?)```", PAGE)]
    used = {name for target in panel["targets"] for name in re.findall(r"airflow_(\w+?)(?:_\.\+|\b)", target["expr"])}
    known = {name.removesuffix(".CODE").replace(".", "_") for name in NAMES | PLAIN}
    assert used
    assert used <= known
