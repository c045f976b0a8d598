import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azure_wi.federation import (
    FederatedIdentityCredential,
    IdentityResource,
    credential_name,
)

ISSUER = "https://oidc.example.com/"


@given(subject=st.text())
def test_a_name_is_within_entras_rules_whatever_the_subject(subject: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}", credential_name(ISSUER, subject))


def test_long_subjects_that_differ_at_their_end_have_different_names() -> None:
    subject = "system:serviceaccount:airflow:" + "a" * 253
    names = {credential_name(ISSUER, subject + end) for end in ("x", "y")}
    assert len(names) == 2


def test_a_name_says_which_workload_it_is_for() -> None:
    assert credential_name(ISSUER, "system:serviceaccount:airflow:af-worker").startswith("airflow-af-worker-")


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "oidc.example.com",
        "http://oidc.example.com",
        "https://",
        "https://a b",
        "https://x/'",
        "https://x:port",
        " ",
    ],
)
def test_an_issuer_is_an_https_url(issuer: str) -> None:
    assert list(FederatedIdentityCredential("name", issuer, "subject", "audience").problems())


def test_a_resource_id_says_where_an_identity_is() -> None:
    group = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourcegroups/DemoGroup"
    resource_id = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/astrodemoid"
    assert IdentityResource.from_resource_id(resource_id) == IdentityResource(
        "astrodemoid", "DemoGroup", "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
    )
    assert IdentityResource.from_resource_id(f"{resource_id} x") is None
    assert IdentityResource.from_resource_id("/subscriptions/x") is None
