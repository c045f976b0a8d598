"""Checks that send requests: the way to the authority host and its clock, a subscription, a storage account.

They go through requests, as azure-core's token requests do, so that the same proxy and the same certificate authorities
are in use.
"""

import os
import socket
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_azure_wi.doctor.context import DoctorContext, Target
from airflow_azure_wi.doctor.result import Finding, Status, format_duration
from airflow_azure_wi.endpoints import PROXY_CANNOT_BE_PARSED
from airflow_azure_wi.identity import is_guid
from airflow_azure_wi.redaction import excerpt, quoted
from airflow_azure_wi.tokens import object_id_in

if TYPE_CHECKING:
    from requests import Response

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0

# Entra allows for five minutes; less than that is no reason to worry yet, but to look.
_SKEW_WORTH_A_WARNING = 60

# Proxies of other kinds are SOCKS.
_STANDARD_PORTS = {"https": 443, "http": 80}

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# The first version that takes tokens of Entra is 2017-11-09:
# https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
_STORAGE_VERSION = "2021-08-06"

_NO_ROLE = "Assign the identity a role for its data with the command below; it takes a few minutes to work."
# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_NEXT_STEPS = {
    "AuthorizationPermissionMismatch": _NO_ROLE,
    "AuthorizationFailure": "The account refuses this network, or the identity has no role: check its firewall "
    "(az storage account show --query networkRuleSet) and private endpoints, then the role.",
}


@dataclass(frozen=True)
class Route:
    """How requests gets to a URL.

    :param proxy: the proxy's URL without credentials, or None.
    :param ca_bundle: the file or directory of certificate authorities that a variable names, or None for requests' own.
    """

    url: str
    proxy: str | None
    ca_bundle: str | None

    @property
    def first_hop(self) -> tuple[str, int]:
        """The host and port to connect to: the proxy's, if there is one."""
        parts = urlsplit(self.proxy or self.url)
        return parts.hostname or "", parts.port or _STANDARD_PORTS.get(parts.scheme, 1080)

    def summary(self) -> str:
        """Return which proxy and which certificate authorities are in use."""
        proxy = f"through the proxy {excerpt(self.proxy)}" if self.proxy else "without a proxy"
        whose = f"of {excerpt(self.ca_bundle)}" if self.ca_bundle else "that requests brings along"
        return f"{proxy}, certificate authorities {whose}"


def route_to(url: str) -> Route:
    """Ask requests how it would get to a URL in this process' environment."""
    import requests
    from requests.utils import select_proxy

    settings = requests.Session().merge_environment_settings(url, {}, None, None, None)
    proxy = select_proxy(url, settings["proxies"])
    verify = settings["verify"]
    return Route(url, _without_credentials(proxy) if proxy else None, verify if isinstance(verify, str) else None)


def check_dns(context: DoctorContext) -> Finding:
    """Check that the name of the first hop to the authority host resolves."""
    if "authority_host" in context.deployment.problems:
        return Finding(Status.SKIPPED, "the authority host is not known")
    host, port = _route(context).first_hop
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Finding(
            Status.FAILED,
            f"{excerpt(host)} does not resolve: {_reason(error)}",
            "Check the name (AZURE_AUTHORITY_HOST, HTTPS_PROXY) and the DNS of the pod.",
        )
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return Finding(Status.OK, f"{excerpt(host)} is {', '.join(list(addresses)[:3])}")


def check_tcp(context: DoctorContext) -> Finding:
    """Check that the first hop accepts connections."""
    route = _route(context)
    host, port = route.first_hop
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            pass
    except OSError as error:
        through = "the proxy in HTTPS_PROXY" if route.proxy else "firewall and network policies, or set HTTPS_PROXY"
        found = f"{excerpt(host)}:{port} cannot be connected to: {_reason(error)}"
        return Finding(Status.FAILED, found, f"Check {through}.")
    return Finding(Status.OK, f"{excerpt(host)}:{port} accepts connections")


def check_tls(context: DoctorContext) -> Finding:
    """Check that the authority host answers over HTTPS with a certificate that is trusted."""
    import requests

    route = _route(context)
    host = excerpt(urlsplit(route.url).netloc)
    if route.ca_bundle and not os.path.exists(route.ca_bundle):
        variable = next((name for name in _CA_VARIABLES if os.environ.get(name) == route.ca_bundle), _CA_VARIABLES[0])
        found = f"{variable} is {excerpt(route.ca_bundle)}, which does not exist"
        return Finding(Status.FAILED, found, f"Correct {variable}, or unset it.")
    try:
        answer = requests.get(route.url, timeout=(_CONNECT_SECONDS, _READ_SECONDS), allow_redirects=False)
    except requests.exceptions.SSLError as error:
        return Finding(
            Status.FAILED,
            f"{host} shows a certificate that is not trusted ({route.summary()}): {_innermost(error)}",
            "Behind a TLS-inspecting proxy, set REQUESTS_CA_BUNDLE (and SSL_CERT_FILE) to a file that holds its "
            "certificate authority.",
        )
    except requests.exceptions.RequestException as error:
        is_of_proxy = isinstance(error, requests.exceptions.InvalidURL)
        found = PROXY_CANNOT_BE_PARSED if is_of_proxy else _innermost(error)
        return Finding(
            Status.FAILED,
            f"{host} does not answer over HTTPS ({route.summary()}): {found}",
            "Check the proxy (HTTPS_PROXY, NO_PROXY) and the firewall.",
        )
    context.authority_time = answer.headers.get("Date")
    return Finding(Status.OK, f"{host} answers (HTTP {answer.status_code}), {route.summary()}")


def check_clock(context: DoctorContext) -> Finding:
    """Compare this machine's clock with that of the authority host."""
    now = time.time()
    try:
        theirs = parsedate_to_datetime(context.authority_time or "").timestamp()
    except (TypeError, ValueError):
        return Finding(Status.SKIPPED, "the authority host did not say what time it is")
    skew = now - theirs
    which = "ahead of" if skew > 0 else "behind"
    if abs(skew) < _SKEW_WORTH_A_WARNING:
        return Finding(Status.OK, f"within {max(abs(skew), 1):.0f} s of the authority host's")
    return Finding(
        Status.WARNING,
        f"{format_duration(abs(skew))} {which} the authority host's",
        "Set this machine's clock (NTP): tokens are valid by Entra's clock.",
    )


def check_subscription(context: DoctorContext) -> Finding:
    """Check that Azure Resource Manager shows a subscription to the identity."""
    import requests

    subscription_id, cloud = context.subscription_id or "", context.cloud
    if not is_guid(subscription_id):
        found = f"the subscription is {quoted(subscription_id)}, expected a GUID (`az account show --query id`)"
        return Finding(Status.FAILED, found)
    url = f"{cloud.resource_manager}/subscriptions/{subscription_id}?api-version=2022-12-01"
    try:
        answer = _get(url, context.access_tokens[cloud.resource_manager_scope])
        shown = answer.json()
    except (requests.exceptions.RequestException, ValueError) as error:
        return _no_answer(cloud.resource_manager, error)
    if answer.status_code == 200 and isinstance(shown, dict):
        named = f"{excerpt(str(shown.get('displayName')))} ({subscription_id}) is {excerpt(str(shown.get('state')))}"
        return Finding(Status.OK, named)
    return Finding(
        Status.FAILED,
        f"{subscription_id} is not visible to the identity (HTTP {answer.status_code}, {_code_of(shown)})",
        "Assign the identity a role on the subscription or on something in it: az role assignment create --assignee "
        f"{context.identity.client_id if context.identity else 'CLIENT_ID'} --role Reader --scope "
        f"/subscriptions/{subscription_id}",
    )


def check_reading(context: DoctorContext, target: Target) -> Finding:
    """Check that a storage account or container can be read: the first thing that is refused without a role."""
    import requests

    url, access_token = target.url or "", context.access_tokens[target.scope]
    try:
        answer = _get(url, access_token, {"x-ms-version": _STORAGE_VERSION})
    except requests.exceptions.RequestException as error:
        return _no_answer(url.partition("?")[0], error)
    if answer.status_code == 200:
        return Finding(Status.OK, f"{target.name} can be listed")
    code = excerpt(answer.headers.get("x-ms-error-code", "no code"))
    found = f"listing {target.name} is refused (HTTP {answer.status_code}, {code})"
    next_step = _NEXT_STEPS.get(code)
    object_id = object_id_in(access_token)
    command = target.assignment(object_id) if next_step == _NO_ROLE and object_id else None
    if command and not target.within:
        next_step = f"{_NO_ROLE} If it has one for a container alone, name that container in the URL."
    return Finding(Status.FAILED, found, next_step, (command,) if command else ())


def _route(context: DoctorContext) -> Route:
    """Return the route to a URL of the authority host that answers without a sign-in."""
    tenant = context.identity.tenant_id if context.identity else "organizations"
    return route_to(f"{context.authority_host}/{tenant}/v2.0/.well-known/openid-configuration")


def _get(url: str, access_token: str, headers: dict[str, str] | None = None) -> "Response":
    import requests

    headers = {"Authorization": f"Bearer {access_token}", **(headers or {})}
    # A redirect would take the token elsewhere.
    return requests.get(url, headers=headers, timeout=(_CONNECT_SECONDS, _READ_SECONDS), allow_redirects=False)


def _no_answer(host: str, error: Exception) -> Finding:
    found = f"{host} gave no answer that can be read: {type(error).__name__}"
    return Finding(Status.FAILED, found, "Check the name, proxy and firewall; it is another host than Entra's.")


def _code_of(shown: Any) -> str:
    error = shown.get("error") if isinstance(shown, dict) else None
    return excerpt(str(error.get("code"))) if isinstance(error, dict) else "no code"


def _without_credentials(url: str) -> str:
    # Up to the last one, wherever it is: there may be a slash in a password, against the rules.
    scheme, _, rest = (url if "://" in url else f"http://{url}").partition("://")
    return urlsplit(f"{scheme}://{rest.rpartition('@')[2]}")._replace(path="", query="", fragment="").geturl()


def _innermost(error: BaseException) -> str:
    """Return what went wrong in the first place, without the objects that the messages around it show."""
    reason: Any = error
    while (inner := getattr(reason, "reason", None) or next(iter(getattr(reason, "args", ())), None)) is not None:
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return _reason(reason)


def _reason(error: BaseException) -> str:
    return excerpt(str(getattr(error, "strerror", None) or error))
