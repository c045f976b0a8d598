"""How Entra words a refusal.

Wording, OAuth errors and statuses come from responses that people have posted, with the source next to each:
``owner/name#1`` is an issue on GitHub, REFERENCE is
https://learn.microsoft.com/entra/identity-platform/reference-error-codes, and DEVOPS is
https://github.com/MicrosoftDocs/azure-devops-docs, ``docs/pipelines/release/includes/errors-workload-identity.md``.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse

_FEDERATION = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
_CHECK_CREDENTIAL = (
    "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. "
    f"{_FEDERATION}"
)
_NO_MATCH = "No matching federated identity record found for presented assertion"
_NOT_INSTALLED = (
    "This can happen if the application has not been installed by the administrator of the tenant or consented to by "
    "any user in the tenant."
)
_NO_KEYS = ("invalid_request", "Request to External OIDC endpoint failed.")

# code: (OAuth error, message)
_KINDS = {
    # panva/openid-client#348
    "AADSTS50027": ("invalid_request", "JWT token is invalid or malformed."),
    # Azure/azure-workload-identity#642
    "AADSTS50166": _NO_KEYS,
    # Azure/AKS#4029
    "AADSTS501661": _NO_KEYS,
    # Azure/azure-workload-identity#605
    "AADSTS90061": _NO_KEYS,
    # Azure-Samples/azure-search-openai-demo#1529
    "AADSTS500011": (
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. "
        f"{_NOT_INSTALLED} You might have sent your authentication request to the wrong tenant.",
    ),
    # Azure/azure-cli#32031. Unverified: the OAuth error of a workload, since that is a person's.
    "AADSTS5000225": (
        "invalid_request",
        "This tenant has been blocked due to inactivity. To learn more about tenant lifecycle policies, see "
        "https://aka.ms/TenantLifecycle",
    ),
    # AzureAD/microsoft-identity-web#2419. Unverified: the OAuth error of a workload, since that is a person's.
    "AADSTS53003": (
        "access_denied",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    # REFERENCE. Unverified: the exact wording.
    "AADSTS70003": ("unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    # MicrosoftDocs/azure-docs#36432
    "AADSTS70011": (
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        "'scope' is not valid. The scope {scope} is not valid.",
    ),
    # external-secrets/external-secrets#2783
    "AADSTS70021": (
        "invalid_client",
        f"{_NO_MATCH}. Assertion Issuer: '{{issuer}}'. Assertion "
        f"Subject: '{{subject}}'. Assertion Audience: '{{audience}}'. {_FEDERATION}",
    ),
    # DEVOPS has "Client application has no configured federated identity credentials"; newer reports, such as in
    # Seregawpn/Nexy_server, name the client.
    "AADSTS70025": (
        "invalid_client",
        "The client '{client_id}'({name}) has no configured federated identity credentials.",
    ),
    # DEVOPS. Unverified: the OAuth error.
    "AADSTS70052": (
        "invalid_client",
        "The identity must be a managed identity, a single tenant app, or a service account.",
    ),
    # Azure/azure-powershell#9156
    "AADSTS700016": (
        "unauthorized_client",
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. "
        f"{_NOT_INSTALLED} You may have sent your authentication request to the wrong tenant.",
    ),
    # risingwavelabs/risingwave#17123, AzureAD/microsoft-authentication-library-for-dotnet#4951
    "AADSTS700024": (
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {not_before}, "
        "expiry time of assertion {expiry}. Review the documentation at "
        "https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
    ),
    # AzureAD/passport-azure-ad#453
    "AADSTS700027": ("invalid_client", "Client assertion contains an invalid signature."),
    # Azure/azure-workload-identity#1200
    "AADSTS700211": ("invalid_client", f"{_NO_MATCH} issuer '{{issuer}}'. {_CHECK_CREDENTIAL}"),
    # Unverified: the wording, after that of 700211 and 700213.
    "AADSTS700212": ("invalid_client", f"{_NO_MATCH} audience '{{audience}}'. {_CHECK_CREDENTIAL}"),
    # dotnet/maui#31978
    "AADSTS700213": ("invalid_client", f"{_NO_MATCH} subject '{{subject}}'. {_CHECK_CREDENTIAL}"),
    # dotnet/dnceng#6455
    "AADSTS7002131": (
        "invalid_client",
        f"{_NO_MATCH} subject '{{subject}}' or no federated identity credential expression matched. Please check your "
        f"federated identity credential Subject, Expression, Audience and Issuer against the presented assertion. "
        f"{_FEDERATION}",
    ),
    # microsoft/Agents#202
    "AADSTS7002137": (
        "invalid_client",
        f"{_NO_MATCH} subject '{{subject}}'. Please make sure the federated identity credential Subject is "
        "'{subject}'.",
    ),
    # Azure/login#515, for a subject. Unverified: the wording for an issuer and an audience.
    "AADSTS7002138": (
        "invalid_client",
        f"{_NO_MATCH} {{part}} '{{value}}'. The {{part}} matches with case-insensitive comparison, but not with "
        "case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the "
        f"presented assertion. See documentation at: {_FEDERATION}. See breaking change notification and remediation "
        "at: https://learn.microsoft.com/en-us/entra/identity-platform/reference-breaking-changes#august-2024.",
    ),
    # AzureAD/microsoft-identity-web#2519, in which Entra still calls itself AAD
    "AADSTS700222": (
        "invalid_request",
        "Entra ID-issued tokens may not be used for federated identity flows.",
    ),
    # DEVOPS, which has no wording. Unverified.
    "AADSTS700223": (
        "invalid_request",
        "Workload identity federation is constrained or disabled in this tenant.",
    ),
    # Azure/azure-workload-identity#1363, Azure/azure-sdk-for-net#49212
    "AADSTS700231": (
        "invalid_client",
        "Token obtained using another federated identity credential may not be used as federated identity credential.",
    ),
    # https://learn.microsoft.com/answers/questions/2139753/
    "AADSTS700236": (
        "invalid_client",
        "Entra ID tokens issued by issuer '{issuer}' may not be used for federated identity credential flows for "
        "applications or managed identities registered in this tenant.",
    ),
    # DEVOPS, which has no wording. Unverified.
    "AADSTS700238": (
        "invalid_client",
        "Tokens issued by issuer '{issuer}' may not be used for federated identity credential flows for applications "
        "or managed identities registered in this tenant.",
    ),
    # MicrosoftDocs/azure-docs, articles on Playwright and Yammer
    "AADSTS7000112": ("unauthorized_client", "Application '{client_id}'({name}) is disabled."),
    # REFERENCE; DEVOPS
    "AADSTS7000215": (
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{client_id}'.",
    ),
    # REFERENCE
    "AADSTS7000218": (
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    # Azure/Commercial-Marketplace-SaaS-Accelerator#830, Azure/azure-sdk-for-net#46762
    "AADSTS7000229": (
        "invalid_client",
        "The client application {client_id} is missing service principal in the tenant {tenant}. See instructions "
        "here: https://go.microsoft.com/fwlink/?linkid=2225119",
    ),
    # Azure/azure-workload-identity#1232
    "AADSTS7000272": (
        "invalid_client",
        "The certificate with identifier {key_id} used to sign the federated credential could not be found in the "
        "metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the "
        "key used to sign the incoming token.",
    ),
    # Azure/azure-cli#22145
    "AADSTS90002": (
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    # Unverified: neither in REFERENCE nor in a report with its wording. Served with HTTP 429.
    "AADSTS90025": ("temporarily_unavailable", "Request processing has exceeded gateway allowance."),
    # Azure/azure-sdk-for-python#14241, with HTTP 503
    "AADSTS90033": ("temporarily_unavailable", "A transient error has occurred. Please try again."),
    # REFERENCE
    "AADSTS900144": ("invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    # webprofusion/certify#553
    "AADSTS900382": ("invalid_request", "Confidential Client is not supported in Cross Cloud request."),
    # MicrosoftDocs/azure-docs#99862
    "AADSTS1002012": (
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    ),
    # REFERENCE
    "AADSTS9002313": ("invalid_request", "Invalid request. Request is malformed or invalid."),
}
_OTHER = ("invalid_request", "The request was refused.")

# Client authentication failed: https://www.rfc-editor.org/rfc/rfc6749#section-5.2. Every other error is a 400.
_STATUSES = {"invalid_client": 401, "temporarily_unavailable": 503}
_THROTTLED = {"AADSTS90025": 429}


class Refusal(Exception):
    """Entra refuses a request.

    :param code: such as ``"AADSTS700213"``.
    :param details: the values that the message of that code quotes.
    """

    def __init__(self, code: str, details: Mapping[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.details = details

    def response(self, *, correlation_id: str) -> JSONResponse:
        """Return Entra's answer.

        :param correlation_id: the correlation id of the request, or ``""``.
        """
        error, message = _KINDS.get(self.code, _OTHER)
        text = message.format_map(defaultdict(str, self.details))
        now = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%SZ}"
        trace_id, correlation_id = str(uuid4()), correlation_id or str(uuid4())
        number = int(self.code.removeprefix("AADSTS"))
        body = {
            "error": error,
            "error_description": f"{self.code}: {text} Trace ID: {trace_id} Correlation ID: {correlation_id} "
            f"Timestamp: {now}",
            "error_codes": [number],
            "timestamp": now,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        }
        return JSONResponse(body, status_code=_THROTTLED.get(self.code) or _STATUSES.get(error, 400))
