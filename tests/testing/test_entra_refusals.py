"""What the simulated Entra refuses, and in which words."""

import re
import time
from datetime import datetime, timezone
from uuid import UUID, uuid4

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_azure_wi.testing import Application, FederatedIdentityCredential, ManagedIdentity, OfflineAzure
from airflow_azure_wi.testing.signing import SigningKey
from tests.testing.token_requests import SUBJECT, RequestToken


def assert_refused(response: requests.Response, code: str, error: str, status: int, message: str) -> None:
    """Check the whole answer: status, headers and every field of the body."""
    body = response.json()
    number = int(code.removeprefix("AADSTS"))
    assert (response.status_code, body["error"], body["error_codes"]) == (status, error, [number]), body
    assert set(body) == {
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    }
    start, end = (
        f"{code}: {message}",
        (f" Trace ID: {body['trace_id']} Correlation ID: {body['correlation_id']} Timestamp: {body['timestamp']}"),
    )
    assert body["error_description"].startswith(start)
    assert body["error_description"].endswith(end)
    assert UUID(body["trace_id"])
    assert UUID(body["correlation_id"])
    assert body["error_uri"] == f"https://login.microsoftonline.com/error?code={number}"
    timestamp = datetime.strptime(body["timestamp"], "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert abs(timestamp.timestamp() - time.time()) < 5
    assert response.headers["Content-Type"] == "application/json"


def no_match(what: str) -> str:
    return f"No matching federated identity record found for presented assertion {what}"


class TestTheRequest:
    @pytest.mark.parametrize("parameter", ["grant_type", "client_id", "scope"])
    def test_missing_parameter(self, request_token: RequestToken, parameter: str) -> None:
        message = f"The request body must contain the following parameter: '{parameter}'."
        for value in (None, ""):
            response = request_token(**{parameter: value})
            assert_refused(response, "AADSTS900144", "invalid_request", 400, message)

    def test_missing_assertion(self, request_token: RequestToken) -> None:
        response = request_token(client_assertion=None)
        message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        assert_refused(response, "AADSTS7000218", "invalid_client", 401, message)

    def test_a_managed_identity_has_no_secret(self, request_token: RequestToken) -> None:
        response = request_token(client_assertion=None, client_secret="a client secret")
        assert_refused(response, "AADSTS7000215", "invalid_client", 401, "Invalid client secret provided.")

    @pytest.mark.parametrize("kind", [None, "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
    def test_other_assertion_type(self, request_token: RequestToken, kind: str | None) -> None:
        response = request_token(client_assertion_type=kind)
        assert_refused(response, "AADSTS9002313", "invalid_request", 400, "Invalid request.")

    def test_other_grant_type(self, request_token: RequestToken) -> None:
        response = request_token(grant_type="password")
        message = "The app requested an unsupported grant type 'password'."
        assert_refused(response, "AADSTS70003", "unsupported_grant_type", 400, message)

    def test_unknown_tenant(self, request_token: RequestToken) -> None:
        tenant = str(uuid4())
        message = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID"
        assert_refused(request_token(tenant=tenant), "AADSTS90002", "invalid_request", 400, message)

    def test_unknown_application(self, request_token: RequestToken, identity: ManagedIdentity) -> None:
        message = f"Application with identifier 'nobody' was not found in the directory '{identity.tenant_id}'."
        assert_refused(request_token(client_id="nobody"), "AADSTS700016", "unauthorized_client", 400, message)

    def test_application_of_another_tenant(self, azure: OfflineAzure, request_token: RequestToken) -> None:
        response = request_token(client_id=azure.identity.client_id)
        assert_refused(response, "AADSTS700016", "unauthorized_client", 400, "Application with identifier")

    def test_disabled_application(self, request_token: RequestToken, identity: ManagedIdentity) -> None:
        identity.disabled = True
        message = f"Application '{identity.client_id}'(airflow) is disabled."
        assert_refused(request_token(), "AADSTS7000112", "unauthorized_client", 400, message)

    @pytest.mark.parametrize(
        "scope", ["/.default", "https://storage.azure.com/.default https://vault.azure.net/.default"]
    )
    def test_malformed_scope(self, request_token: RequestToken, scope: str) -> None:
        message = "The provided request must include a 'scope' input parameter."
        response = request_token(scope=scope)
        assert_refused(response, "AADSTS70011", "invalid_scope", 400, message)
        assert f"The scope {scope} is not valid." in response.json()["error_description"]

    def test_no_scope_but_those_of_openid_connect(self, request_token: RequestToken) -> None:
        message = "The provided request must include a 'scope' input parameter."
        assert_refused(request_token(scope="openid profile"), "AADSTS70011", "invalid_scope", 400, message)

    def test_scope_without_default(self, request_token: RequestToken) -> None:
        scope = "https://storage.azure.com/user_impersonation"
        message = f"The provided value for scope {scope} is not valid."
        assert_refused(request_token(scope=scope), "AADSTS1002012", "invalid_scope", 400, message)

    @pytest.mark.parametrize(
        "resource", ["https://storage.azure.co", "https://a.blob.core.windows.net.example.com", "https://vault"]
    )
    def test_unknown_resource(self, request_token: RequestToken, identity: ManagedIdentity, resource: str) -> None:
        message = f"The resource principal named {resource} was not found in the tenant named {identity.tenant_id}."
        response = request_token(scope=f"{resource}/.default")
        assert_refused(response, "AADSTS500011", "invalid_resource", 400, message)

    def test_correlation_id_is_that_of_the_request(self, azure: OfflineAzure) -> None:
        correlation_id = str(uuid4())
        response = requests.post(
            f"{azure.entra.authority_host}/{azure.identity.tenant_id}/oauth2/v2.0/token",
            headers={"client-request-id": correlation_id},
            verify=azure.environment()["REQUESTS_CA_BUNDLE"],
            timeout=10,
        )
        assert response.json()["correlation_id"] == correlation_id


class TestFederatedIdentityCredentials:
    def test_none(self, request_token: RequestToken, identity: ManagedIdentity) -> None:
        identity.remove_credential("worker")
        message = f"The client '{identity.client_id}'(airflow) has no configured federated identity credentials."
        assert_refused(request_token(), "AADSTS70025", "invalid_client", 401, message)

    @pytest.mark.parametrize("suffix", ["/", "/other"])
    def test_other_issuer(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity, suffix: str
    ) -> None:
        other = FederatedIdentityCredential("worker", azure.cluster.issuer + suffix, SUBJECT)
        identity.add_credential(other)
        message = no_match(f"issuer '{azure.cluster.issuer}'. Check your federated identity credential")
        assert_refused(request_token(), "AADSTS700211", "invalid_client", 401, message)

    @pytest.mark.parametrize("service_account", ["airflow-scheduler", "airflow-worker "])
    def test_other_subject(self, request_token: RequestToken, azure: OfflineAzure, service_account: str) -> None:
        token = azure.cluster.service_account_token("airflow", service_account)
        message = no_match(f"subject 'system:serviceaccount:airflow:{service_account}'. Check your federated")
        assert_refused(request_token(client_assertion=token), "AADSTS700213", "invalid_client", 401, message)

    @pytest.mark.parametrize("audience", ["api://AzureADTokenExchangeChina", "https://kubernetes.default.svc"])
    def test_other_audience(self, request_token: RequestToken, azure: OfflineAzure, audience: str) -> None:
        token = azure.cluster.service_account_token("airflow", "airflow-worker", audience=audience)
        message = no_match(f"audience '{audience}'. Check your federated identity credential")
        assert_refused(request_token(client_assertion=token), "AADSTS700212", "invalid_client", 401, message)

    @pytest.mark.parametrize("part", ["issuer", "subject", "audience"])
    def test_a_difference_in_case_only(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity, part: str
    ) -> None:
        """https://github.com/Azure/login/issues/515."""
        presented = {"issuer": azure.cluster.issuer, "subject": SUBJECT, "audience": "api://AzureADTokenExchange"}
        trusted = {**presented, part: presented[part].upper()}
        identity.add_credential(
            FederatedIdentityCredential("worker", trusted["issuer"], trusted["subject"], (trusted["audience"],))
        )
        message = no_match(
            f"{part} '{presented[part]}'. The {part} matches with case-insensitive comparison, but not with "
            "case-sensitive comparison."
        )
        assert_refused(request_token(), "AADSTS7002138", "invalid_client", 401, message)

    def test_an_exact_match_is_not_hidden_by_one_that_differs_in_case(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity
    ) -> None:
        identity.add_credential(FederatedIdentityCredential("shouted", azure.cluster.issuer, SUBJECT.upper()))
        assert request_token().status_code == 200

    def test_any_credential_may_match(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity
    ) -> None:
        scheduler = azure.cluster.service_account_token("airflow", "airflow-scheduler")
        assert request_token(client_assertion=scheduler).status_code == 401

        subject = "system:serviceaccount:airflow:airflow-scheduler"
        identity.add_credential(FederatedIdentityCredential("scheduler", azure.cluster.issuer, subject))

        assert request_token(client_assertion=scheduler).status_code == 200
        assert request_token().status_code == 200

    def test_issuer_and_subject_of_different_credentials_do_not_match(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity
    ) -> None:
        subject = "system:serviceaccount:airflow:airflow-scheduler"
        identity.add_credential(FederatedIdentityCredential("elsewhere", "https://elsewhere.example", subject))
        token = azure.cluster.service_account_token("airflow", "airflow-scheduler")
        assert_refused(
            request_token(client_assertion=token), "AADSTS700213", "invalid_client", 401, no_match("subject")
        )

    def test_one_of_several_audiences_is_enough(self, request_token: RequestToken, azure: OfflineAzure) -> None:
        audience = ["https://kubernetes.default.svc", "api://AzureADTokenExchange"]
        token = azure.cluster.service_account_token("airflow", "airflow-worker", audience=audience)
        assert request_token(client_assertion=token).status_code == 200


class TestTheAssertion:
    @pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"])
    def test_not_a_token(self, request_token: RequestToken, assertion: str) -> None:
        response = request_token(client_assertion=assertion)
        assert_refused(response, "AADSTS50027", "invalid_request", 400, "JWT token is invalid or malformed.")

    def test_tampered_signature(self, request_token: RequestToken, azure: OfflineAzure) -> None:
        head, payload, signature = azure.projected_token.path.read_text().split(".")
        flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
        response = request_token(client_assertion=".".join((head, payload, flipped)))
        message = "Client assertion contains an invalid signature."
        assert_refused(response, "AADSTS700027", "invalid_client", 401, message)

    def test_signature_of_another_token(self, request_token: RequestToken, azure: OfflineAzure) -> None:
        expired = azure.cluster.service_account_token("airflow", "airflow-worker", lifetime=-10)
        valid = azure.cluster.service_account_token("airflow", "airflow-worker")
        forged = ".".join((*valid.split(".")[:2], expired.split(".")[2]))
        response = request_token(client_assertion=forged)
        assert_refused(response, "AADSTS700027", "invalid_client", 401, "Client assertion contains an invalid")

    def test_stolen_key_id(self, request_token: RequestToken, azure: OfflineAzure) -> None:
        genuine = azure.projected_token.path.read_text()
        claims = jwt.decode(genuine, options={"verify_signature": False})
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        kid = jwt.get_unverified_header(genuine)["kid"]
        forged = jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})
        response = request_token(client_assertion=forged)
        assert_refused(response, "AADSTS700027", "invalid_client", 401, "Client assertion contains an invalid")

    def test_unpublished_key(self, request_token: RequestToken, azure: OfflineAzure) -> None:
        claims = jwt.decode(azure.projected_token.path.read_text(), options={"verify_signature": False})
        key = SigningKey()
        message = (
            f"The certificate with identifier {key.key_id} used to sign the federated credential could not be found"
        )
        response = request_token(client_assertion=key.sign(claims))
        assert_refused(response, "AADSTS7000272", "invalid_client", 401, message)

    @pytest.mark.parametrize("algorithm", ["none", "HS256"])
    def test_other_algorithm(self, request_token: RequestToken, azure: OfflineAzure, algorithm: str) -> None:
        genuine = azure.projected_token.path.read_text()
        claims = jwt.decode(genuine, options={"verify_signature": False})
        headers = {"kid": jwt.get_unverified_header(genuine)["kid"]}
        key = None if algorithm == "none" else "0123456789abcdef0123456789abcdef"
        forged = jwt.encode(claims, key, algorithm=algorithm, headers=headers)
        response = request_token(client_assertion=forged)
        assert_refused(response, "AADSTS50027", "invalid_request", 400, "JWT token is invalid or malformed.")

    @pytest.mark.parametrize("issuer", ["https://127.0.0.1:1", "http://127.0.0.1:1", "ftp://x", "file:///etc"])
    def test_unreachable_issuer(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity, issuer: str
    ) -> None:
        identity.add_credential(FederatedIdentityCredential("elsewhere", issuer, SUBJECT))
        token = azure.cluster.service_account_token("airflow", "airflow-worker", iss=issuer)
        response = request_token(client_assertion=token)
        message = "Request to External OIDC endpoint failed."
        assert_refused(response, "AADSTS50166", "invalid_request", 400, message)

    def test_issuer_whose_discovery_document_names_another(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity
    ) -> None:
        issuer = azure.cluster.issuer + "/"
        identity.add_credential(FederatedIdentityCredential("slash", issuer, SUBJECT))
        token = azure.cluster.service_account_token("airflow", "airflow-worker", iss=issuer)
        response = request_token(client_assertion=token)
        assert_refused(response, "AADSTS50166", "invalid_request", 400, "Request to External OIDC endpoint failed.")

    def test_issuer_with_an_untrusted_certificate(
        self,
        request_token: RequestToken,
        identity: ManagedIdentity,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        with OfflineAzure(tmp_path_factory.mktemp("other"), with_storage=False) as other:
            identity.add_credential(FederatedIdentityCredential("other", other.cluster.issuer, SUBJECT))
            response = request_token(client_assertion=other.projected_token.path.read_text())
        assert_refused(response, "AADSTS50166", "invalid_request", 400, "Request to External OIDC endpoint failed.")

    @pytest.mark.parametrize(
        "times",
        [{"exp": -1}, {"exp": -3600, "iat": -7200, "nbf": -7200}, {"nbf": 60}],
        ids=["just expired", "long expired", "not yet valid"],
    )
    def test_outside_its_time_range(
        self, request_token: RequestToken, azure: OfflineAzure, times: dict[str, int]
    ) -> None:
        now = int(time.time())
        claims = {name: now + seconds for name, seconds in times.items()}
        token = azure.cluster.service_account_token("airflow", "airflow-worker", **claims)
        message = "Client assertion is not within its valid time range. Current time: 2"
        response = request_token(client_assertion=token)
        assert_refused(response, "AADSTS700024", "invalid_client", 401, message)
        expiry = datetime.fromtimestamp(claims.get("exp", now + 3600), timezone.utc)
        found = re.search(r"expiry time of assertion (\S+)\.", response.json()["error_description"])
        assert found
        assert abs(datetime.fromisoformat(found[1][:19] + "+00:00") - expiry).total_seconds() <= 1

    def test_projected_token_that_expires(self, request_token: RequestToken, azure: OfflineAzure) -> None:
        token = azure.cluster.service_account_token("airflow", "airflow-worker", lifetime=1)
        assert request_token(client_assertion=token).status_code == 200
        time.sleep(2.1)
        assert request_token(client_assertion=token).json()["error_codes"] == [700024]

    @pytest.mark.parametrize("claims", [{"exp": None}, {"exp": "tomorrow"}, {"nbf": "yesterday"}])
    def test_unreadable_times(
        self, request_token: RequestToken, azure: OfflineAzure, claims: dict[str, str | None]
    ) -> None:
        token = azure.cluster.service_account_token("airflow", "airflow-worker", **claims)
        assert request_token(client_assertion=token).json()["error_codes"] == [50027]


class TestATokenThatEntraGave:
    """https://github.com/Azure/azure-workload-identity/issues/1363."""

    @pytest.fixture
    def application(self, azure: OfflineAzure, identity: ManagedIdentity) -> Application:
        application = Application(home_tenant_id=identity.tenant_id)
        issuer = f"https://login.microsoftonline.com/{identity.tenant_id}/v2.0"
        application.add_credential(FederatedIdentityCredential("it", issuer, identity.principal_id))
        azure.entra.register(application)
        return application

    def test_for_a_federated_token(self, request_token: RequestToken, application: Application) -> None:
        token = request_token(scope="api://AzureADTokenExchange/.default").json()["access_token"]
        response = request_token(tenant=application.tenant_id, client_id=application.client_id, client_assertion=token)
        assert_refused(response, "AADSTS700231", "invalid_client", 401, "Token obtained using another federated")

    def test_for_a_secret(
        self, request_token: RequestToken, azure: OfflineAzure, identity: ManagedIdentity, application: Application
    ) -> None:
        other = Application(tenant_id=identity.tenant_id, secret="a client secret")
        azure.entra.register(other)
        [trusted] = application.federated_credentials
        application.add_credential(FederatedIdentityCredential("it", trusted.issuer, other.principal_id))
        token = request_token(
            client_id=other.client_id,
            client_secret="a client secret",
            client_assertion=None,
            scope="api://AzureADTokenExchange/.default",
        ).json()["access_token"]
        response = request_token(tenant=application.tenant_id, client_id=application.client_id, client_assertion=token)
        assert response.json()["error_codes"] == [700222]

    def test_for_another_audience(self, request_token: RequestToken, application: Application) -> None:
        token = request_token().json()["access_token"]
        response = request_token(tenant=application.tenant_id, client_id=application.client_id, client_assertion=token)
        assert response.json()["error_codes"] == [700211], "tokens for other resources have another issuer, too"

    def test_signed_by_somebody_else(self, request_token: RequestToken, application: Application) -> None:
        [trusted] = application.federated_credentials
        claims = {"iss": trusted.issuer, "sub": trusted.subject, "aud": trusted.audiences[0], "exp": time.time() + 60}
        response = request_token(
            tenant=application.tenant_id, client_id=application.client_id, client_assertion=SigningKey().sign(claims)
        )
        assert response.json()["error_codes"] == [7000272]
