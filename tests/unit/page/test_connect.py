"""Step 2 of the page: what was pasted, as Airflow's REST API takes it and in every other form."""

import json
from pathlib import Path

import pytest

from airflow_azure_wi.page.connect import connection_from

PRINTED = (Path(__file__).parents[2] / "data" / "az-identity-create.json").read_text()
CLIENT, TENANT, SUBSCRIPTION = (
    "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
    "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "0b1f6471-1bf0-4dda-aec3-cb9272f09590",
)


def test_what_az_printed_becomes_the_body_of_a_request() -> None:
    answer = connection_from(PRINTED, "azure_wi")
    assert answer["problems"] == {}
    assert [field["value"] for field in answer["fields"]] == [CLIENT, TENANT, SUBSCRIPTION]
    assert answer["body"]["connection_id"] == "azure_wi"
    assert answer["body"]["conn_type"] == "azure_workload_identity"
    assert json.loads(answer["body"]["extra"]) == {
        "clientId": CLIENT,
        "tenantId": TENANT,
        "subscriptionId": SUBSCRIPTION,
    }
    assert answer["outputs"]["env"].startswith("AIRFLOW_CONN_AZURE_WI='{")
    assert "kind: Secret" in answer["outputs"]["kubernetes"]
    assert "conn_id: azure_wi" in answer["outputs"]["airflow-settings"]


def test_problems_stand_beside_their_fields() -> None:
    answer = connection_from("{}", "azure wi")
    assert len(answer["problems"]["pasted"]) == 2
    [problem] = answer["problems"]["connection_id"]
    assert "'azure wi'" in problem
    assert "body" not in answer


def test_an_id_that_fits_no_environment_variable_leaves_the_other_forms() -> None:
    answer = connection_from(PRINTED, "azure-wi")
    assert answer["problems"] == {}
    assert answer["outputs"]["env"].startswith("# ")
    assert answer["outputs"]["json"].startswith("{")


def test_a_variable_that_overrides_it_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection_from(PRINTED, "azure_wi")["warnings"] == []
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_WI", "{}")
    [warning] = connection_from(PRINTED, "azure_wi")["warnings"]
    assert "AIRFLOW_CONN_AZURE_WI" in warning


@pytest.mark.parametrize(
    "pasted", ["", "not JSON", "[]", '{"clientId": "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl"}']
)
def test_what_holds_no_identity_is_refused_without_repeating_a_token(pasted: str) -> None:
    answer = connection_from(pasted, "azure_wi")
    assert answer["problems"]["pasted"]
    assert "eyJ" not in json.dumps(answer)
