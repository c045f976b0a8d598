import json

import pytest

from airflow_azure_wi.doctor import Report, Result, Status, text
from airflow_azure_wi.doctor.durations import format_duration
from airflow_azure_wi.doctor.network_checks import route_to

FINE = Result("identity", Status.OK, "client id x")
LONG = "https://oidc.example.com/a/very/long/path/that/nobody/wants/to/see/broken/in/two/pieces"
REFUSED = Result("token exchange", Status.FAILED, f"refused: {LONG}\nAnswer: no", "Do something.", ("az do 'it'",))
ODD = Result("audience", Status.WARNING, "another", "Look.")


def test_a_failure_ends_with_the_command() -> None:
    shown = text.render(Report("connection 'x'", (FINE, ODD, REFUSED), None))
    assert shown.splitlines()[0] == "Examining connection 'x'"
    assert "\nok       identity          client id x\n" in shown
    assert "\nFAILED   token exchange    refused:\n" in shown
    assert f" {LONG}\n" in shown
    assert "Failed: token exchange." in shown
    assert shown.endswith("\n\naz do 'it'\n")


def test_a_warning_alone_is_no_failure() -> None:
    report = Report("connection 'x'", (FINE, ODD), "Signed in as x.")
    assert report.is_ok
    assert report.short() == "Signed in as x."
    assert text.render(report).endswith("\n\nSigned in as x.\n")


def test_the_short_form_is_cause_next_step_and_command() -> None:
    report = Report("connection 'x'", (FINE, REFUSED), None)
    assert report.short().splitlines() == [
        f"refused: {LONG}",
        "Answer: no",
        "Next step: Do something.",
        "az do 'it'",
    ]


def test_programs_read_the_same() -> None:
    shown = json.loads(json.dumps(Report("x", (REFUSED,), None).as_json()))
    assert not shown["ok"]
    assert shown["checks"] == [
        {
            "name": "token exchange",
            "status": "failed",
            "found": REFUSED.found,
            "nextStep": "Do something.",
            "commands": ["az do 'it'"],
        }
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (10800, "3 h"), (259200, "3 days"), (-1, "0 s")]
)
def test_durations(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


def test_the_route_is_that_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "login.example.com")
    route = route_to("https://elsewhere.example/x")
    assert (route.proxy, route.first_hop) == ("http://proxy.example:3128", ("proxy.example", 3128))
    direct = route_to("https://login.example.com/x")
    assert (direct.proxy, direct.first_hop, direct.ca_bundle) == (None, ("login.example.com", 443), None)
    monkeypatch.setenv("CURL_CA_BUNDLE", "/some/ca.pem")
    assert route_to("https://login.example.com/x").ca_bundle == "/some/ca.pem"
