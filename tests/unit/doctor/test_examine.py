"""The order of the checks, and what one skips when another fails."""

from pathlib import Path

import pytest

from airflow_azure_wi.doctor import DoctorContext, Report, Status, examine

WORKLOAD = {
    "AZURE_CLIENT_ID": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
    "AZURE_TENANT_ID": "contoso.com",
    "AZURE_FEDERATED_TOKEN_FILE": "/does/not/exist",
    "AZURE_AUTHORITY_HOST": "https://login.invalid",
}


def skipped(report: Report) -> dict[str, str]:
    return {result.name: result.found for result in report.results if result.status is Status.SKIPPED}


def test_what_needs_a_check_that_failed_is_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    context = DoctorContext.of(None, environment=WORKLOAD)
    report = examine(context, scopes=["https://acct.blob.core.windows.net"], subscription_id="x")
    no_token, no_network = "there is no federated token", "the authority host cannot be reached"
    assert [result.name for result in report.failed()] == ["token file", "DNS"]
    assert skipped(report) == {
        "issuer, subject": no_token,
        "audience": no_token,
        "token lifetime": no_token,
        "TCP": no_network,
        "TLS": no_network,
        "clock": no_network,
        "token exchange": no_token,
        "access token": no_token,
        "scope": no_token,
        "reading": no_token,
        "subscription": no_token,
    }
    assert (report.signed_in, report.remark) == (None, None)


def test_nothing_is_sent_to_an_authority_host_that_cannot_be_used(tmp_path: Path) -> None:
    variables = WORKLOAD | {"AZURE_AUTHORITY_HOST": "http://login.example.com"}
    options = {"identity_binding": "True"}
    proxied = variables | {"AZURE_KUBERNETES_TOKEN_PROXY": "https://proxy.example"}
    for context in (
        DoctorContext.of(None, environment=variables),
        DoctorContext.of(None, environment=proxied, options=options),
    ):
        reasons = skipped(examine(context))
        assert {reasons[name] for name in ("DNS", "TCP", "TLS", "clock")} == {"the authority host is not known"}
