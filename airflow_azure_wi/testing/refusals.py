"""How Entra words a refusal.

Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes. Wording, OAuth errors and statuses are
those of responses that people have posted.
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
_NOT_INSTALLED = (
    "This can happen if the application has not been installed by the administrator of the tenant or consented to by "
    "any user in the tenant."
)

# code: (OAuth error, message)
_KINDS = {
    "AADSTS50027": ("invalid_request", "JWT token is invalid or malformed."),
    "AADSTS50166": ("invalid_request", "Request to External OIDC endpoint failed."),
    "AADSTS500011": (
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. "
        f"{_NOT_INSTALLED} You might have sent your authentication request to the wrong tenant.",
    ),
    "AADSTS70003": ("unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    "AADSTS70011": (
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        "'scope' is not valid. The scope {scope} is not valid.",
    ),
    "AADSTS70021": (
        "invalid_client",
        "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. Assertion "
        f"Subject: '{{subject}}'. Assertion Audience: '{{audience}}'. {_FEDERATION}",
    ),
    "AADSTS700016": (
        "unauthorized_client",
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. "
        f"{_NOT_INSTALLED} You may have sent your authentication request to the wrong tenant.",
    ),
    "AADSTS700024": (
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {not_before}, "
        "expiry time of assertion {expiry}. Review the documentation at "
        "https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
    ),
    "AADSTS700027": ("invalid_client", "Client assertion contains an invalid signature."),
    "AADSTS700211": (
        "invalid_client",
        f"No matching federated identity record found for presented assertion issuer '{{issuer}}'. {_CHECK_CREDENTIAL}",
    ),
    "AADSTS700212": (
        "invalid_client",
        "No matching federated identity record found for presented assertion audience '{audience}'. "
        f"{_CHECK_CREDENTIAL}",
    ),
    "AADSTS700213": (
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{subject}'. "
        f"{_CHECK_CREDENTIAL}",
    ),
    "AADSTS700222": (
        "invalid_request",
        "Entra ID-issued tokens may not be used for federated identity flows.",
    ),
    "AADSTS700231": (
        "invalid_client",
        "Token obtained using another federated identity credential may not be used as federated identity credential.",
    ),
    "AADSTS700236": (
        "invalid_client",
        "Entra ID tokens issued by issuer '{issuer}' may not be used for federated identity credential flows for "
        "applications or managed identities registered in this tenant.",
    ),
    "AADSTS7000112": ("unauthorized_client", "Application '{client_id}'({name}) is disabled."),
    "AADSTS7000215": (
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{client_id}'.",
    ),
    "AADSTS7000218": (
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    "AADSTS7000272": (
        "invalid_client",
        "The certificate with identifier {key_id} used to sign the federated credential could not be found in the "
        "metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the "
        "key used to sign the incoming token.",
    ),
    "AADSTS90002": (
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    "AADSTS900144": ("invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    "AADSTS1002012": (
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    ),
    "AADSTS9002313": ("invalid_request", "Invalid request. Request is malformed or invalid."),
}
_OTHER = ("invalid_request", "The request was refused.")


class Refusal(Exception):
    """Entra refuses a request.

    :param code: such as ``"AADSTS700213"``.
    :param details: what the message of that code mentions.
    """

    def __init__(self, code: str, details: Mapping[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.details = details

    def response(self, *, correlation_id: str) -> JSONResponse:
        """Return Entra's answer: 401 for a client that did not prove who it is, else 400.

        :param correlation_id: that of the request, or ``""``.
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
        return JSONResponse(body, status_code=401 if error == "invalid_client" else 400)
