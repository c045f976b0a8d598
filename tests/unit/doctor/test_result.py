import json

import pytest

from airflow_azure_wi.doctor import Remark, Report, Result, Status
from airflow_azure_wi.doctor.result import format_duration

FINE = Result("identity", Status.OK, "client id x")
LONG = "https://oidc.example.com/a/very/long/path/that/nobody/wants/to/see/broken/in/two/pieces"
REFUSED = Result("token exchange", Status.FAILED, f"refused: {LONG}\nAnswer: no", "Do something.", ("az do 'it'",))
ODD = Result("audience", Status.WARNING, "another", "Look.")


def test_a_failure_ends_with_the_command() -> None:
    shown = Report("connection 'x'", (FINE, ODD, REFUSED), None).as_text()
    assert shown.splitlines()[0] == "Examining connection 'x'"
    assert "\nok       identity          client id x\n" in shown
    assert "\nFAILED   token exchange    refused:\n" in shown
    assert f" {LONG}\n" in shown
    assert "Failed: token exchange." in shown
    assert shown.endswith("\n\naz do 'it'\n")


def test_a_warning_alone_is_no_failure() -> None:
    report = Report("connection 'x'", (FINE, ODD), "Signed in as x.")
    assert report.is_ok
    assert report.as_text().endswith("\n\nSigned in as x.\n")


def test_a_command_that_fixes_several_checks_is_shown_once() -> None:
    again = Result("scope", Status.FAILED, "refused, too", commands=REFUSED.commands)
    shown = Report("connection 'x'", (FINE, REFUSED, again), None).as_text()
    assert shown.count("az do 'it'") == 1
    assert shown.count("This makes Microsoft Entra ID accept") == 1


def test_the_verdict_is_cause_and_next_step_and_fits_the_test_button() -> None:
    assert Report("x", (FINE, ODD), "Signed in as x.").verdict() == "Signed in as x."
    assert Report("x", (FINE, REFUSED), None).verdict() == f"refused: {LONG} Next step: Do something."
    caused = Result("token exchange", Status.FAILED, "a: b", "Do something.", cause="b")
    assert Report("x", (caused, REFUSED), None).verdict() == "b Next step: Do something."
    endless = Result("token exchange", Status.FAILED, "a " * 500, "Do something.")
    shown = Report("x", (endless,), None).verdict()
    assert shown.endswith("... Next step: Do something.")
    assert len(shown) <= 300
    talkative = Result("token exchange", Status.FAILED, "a " * 500, "Do something. " * 50)
    assert len(Report("x", (talkative,), None).verdict()) <= 300


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


def test_a_remark_is_read_only_when_nothing_failed() -> None:
    remark = Remark("Roles are not checked.", ("az role",))
    fine = Report("x", (FINE,), "Signed in as x.", remark)
    assert fine.as_json()["remark"] == {"text": "Roles are not checked.", "commands": ["az role"]}
    assert fine.as_text().endswith("\nSigned in as x.\n\nRoles are not checked.\n\naz role\n")
    refused = Report("x", (FINE, REFUSED), "Signed in as x.", remark)
    assert refused.as_json()["remark"] is None
    assert "Roles" not in refused.as_text()
