import pytest

from airflow_azure_wi.doctor.network_checks import route_to


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
