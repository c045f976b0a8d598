import pytest

from airflow_azure_wi.federation import issuer_of, problem_of_issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "https://oidc.example.com/cluster/",
        "https://westeurope.oic.prod-aks.azure.com/72f988bf-86f1-41af-91ab-2d7cd011db47/0b1f6471/",
        "https://token.actions.githubusercontent.com",
        "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E",
        "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c",
        "https://issuer.example.com:8443/x",
        "https://my_account.blob.core.windows.net/oidc/",
    ],
)
def test_an_issuer_that_entra_can_reach(issuer: str) -> None:
    assert problem_of_issuer(issuer) is None


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        ("http://oidc.example.com", "it is http"),
        ("oidc.example.com", "not an https URL"),
        ("https://", "not an https URL"),
        ("https://user@oidc.example.com", "not an https URL"),
        ("https://oidc.example.com/?x=1", "no query or fragment"),
        ("https://10.0.0.1/", "an IP address"),
        ("https://10.0.0.1:6443", "an IP address"),
        ("https://[::1]/", "an IP address"),
        ("https://127.1", "an IP address"),
        ("https://0x7f000001", "an IP address"),
        ("https://2130706433", "an IP address"),
        ("https://kubernetes", "a single label"),
        ("https://kubernetes.default", "only inside a cluster"),
        ("https://kubernetes.default.svc", "only inside a cluster"),
        ("https://kubernetes.default.svc.cluster.local", "only inside a cluster"),
        ("https://Kubernetes.Default.SVC.", "only inside a cluster"),
        ("https://localhost:8443", "only inside a cluster"),
        ("https://api.localhost", "only inside a cluster"),
        ("https://api.internal", "only inside a cluster"),
        ("https://a..example.com", "not a valid DNS name"),
    ],
)
def test_an_issuer_that_entra_cannot_reach(issuer: str, reason: str) -> None:
    assert reason in (problem_of_issuer(issuer) or "")


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://oidc.example.com/x/.well-known/openid-configuration", "https://oidc.example.com/x"),
        ("https://oidc.example.com/x/", "https://oidc.example.com/x/"),
        (
            "https://westeurope.oic.prod-aks.azure.com/t/c/.well-known/openid-configuration",
            "https://westeurope.oic.prod-aks.azure.com/t/c/",
        ),
    ],
)
def test_the_issuer_of_a_configuration(url: str, issuer: str) -> None:
    assert issuer_of(url) == issuer
