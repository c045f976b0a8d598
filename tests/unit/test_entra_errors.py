"""What each code of Entra means, and which of them may pass."""

import pytest

from airflow_azure_wi.entra_errors import EXPLANATIONS, Fix, Retry, entra_error_code


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
