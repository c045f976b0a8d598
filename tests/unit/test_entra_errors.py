"""What each code of Entra means, and which of them may pass."""

import pytest

from airflow_azure_wi.entra_errors import EXPLANATIONS, Failure, Fix, Kind, Retry, entra_error_code


def codes(**chosen: object) -> set[str]:
    return {code for code, entry in EXPLANATIONS.items() if vars(entry).items() >= chosen.items()}


def test_what_may_pass_is_tried_again() -> None:
    assert codes(retry=Retry.TRANSIENT) == {
        "AADSTS50166",
        "AADSTS501661",
        "AADSTS90061",
        "AADSTS90025",
        "AADSTS90033",
    }
    # The second may be wrong where the credential is right: https://github.com/kedacore/keda/issues/8152.
    assert codes(retry=Retry.ONCE) == {"AADSTS700024", "AADSTS700213"}


def test_a_missing_credential_can_be_created() -> None:
    matching = {"70021", "70025", "700211", "700212", "700213", "7002131", "7002138"}
    assert codes(fix=Fix.CREATE_CREDENTIAL) == {f"AADSTS{number}" for number in matching}


@pytest.mark.parametrize("code", sorted(codes(retry=Retry.TRANSIENT)))
def test_what_may_pass_says_so(code: str) -> None:
    entry = EXPLANATIONS[code]
    assert entry.next_step.startswith("Try again later")
    assert "look the code up" not in entry.next_step


def test_the_code_of_a_wrong_subject_says_what_is_likely() -> None:
    assert EXPLANATIONS["AADSTS700213"].cause.startswith("Most likely")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("AADSTS7002138: No matching", "AADSTS7002138"),
        ("Error: (invalid_client) AADSTS70025: The client", "AADSTS70025"),
        ("AADSTS: none", None),
        ("", None),
    ],
)
def test_the_code_in_a_message(message: str, code: str | None) -> None:
    assert entra_error_code(message) == code


HOST = "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("failure", "cause", "next_step", "retry"),
    [
        (
            Failure(Kind.UNREACHABLE, "refused"),
            f"{HOST} could not be reached, after 2 attempts",
            "DNS",
            Retry.TRANSIENT,
        ),
        (Failure(Kind.NOT_SENT, "OSError: x"), "azure-identity could not send", "AZURE_KUBERNETES_", Retry.NEVER),
        (Failure(Kind.REFUSED, "", status=429), "throttled the request (HTTP 429).", "later", Retry.TRANSIENT),
        (
            Failure(Kind.REFUSED, "", status=429, retry_after="3600"),
            "throttled the request (HTTP 429), and asks to wait 3600 s.",
            "token_cache = disk",
            Retry.TRANSIENT,
        ),
        (Failure(Kind.REFUSED, "", status=502), "returned a server error (HTTP 502)", "later", Retry.TRANSIENT),
        (Failure(Kind.REFUSED, "", status=599), "returned a server error (HTTP 599)", "later", Retry.NEVER),
        (
            Failure(Kind.REFUSED, "", "AADSTS90004", 400),
            "refused the request (HTTP 400)",
            "https://login.microsoftonline.com/error?code=90004",
            Retry.NEVER,
        ),
        (Failure(Kind.REFUSED, "", status=403), "refused the request (HTTP 403)", "AZURE_AUTHORITY_HOST", Retry.NEVER),
        (Failure(Kind.INVALID, "HTTP 200"), "returned an invalid token response", "AZURE_AUTHORITY_HOST", Retry.NEVER),
        (
            Failure(Kind.REFUSED, "", "AADSTS700213", 400),
            EXPLANATIONS["AADSTS700213"].cause,
            EXPLANATIONS["AADSTS700213"].next_step,
            Retry.ONCE,
        ),
        (
            Failure(Kind.REFUSED, "", "AADSTS700016", 503),
            EXPLANATIONS["AADSTS700016"].cause,
            EXPLANATIONS["AADSTS700016"].next_step,
            Retry.TRANSIENT,
        ),
    ],
)
def test_a_failure_says_what_is_wrong_and_what_to_do(
    failure: Failure, cause: str, next_step: str, retry: Retry
) -> None:
    meaning = failure.explain(HOST, attempts=2)
    assert cause in meaning.cause
    assert next_step in meaning.next_step
    assert failure.retry is retry


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 0.5), ("", 0.5), ("7", 7), ("-1", 0), ("nan", 0.5), ("soon", 0.5), ("inf", float("inf"))],
)
def test_the_wait_is_what_the_server_says_if_that_is_a_time(retry_after: str | None, seconds: float) -> None:
    assert Failure(Kind.REFUSED, "", status=429, retry_after=retry_after).seconds_to_wait(0.5) == seconds
