"""Checks of the way to the authority host: DNS, TCP, TLS, and the clock at its end.

They go through requests, as azure-core's token requests do, so that the same proxy and the same certificate authorities
are in use.
"""

import os
import socket
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.durations import format_duration
from airflow_azure_wi.doctor.result import Result, Status
from airflow_azure_wi.endpoints import PROXY_CANNOT_BE_PARSED
from airflow_azure_wi.redaction import excerpt

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0

# Entra allows for five minutes; less than that is no reason to worry yet, but to look.
_SKEW_WORTH_A_WARNING = 60

# Proxies of other kinds are SOCKS.
_STANDARD_PORTS = {"https": 443, "http": 80}

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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


def check_dns(route: Route) -> Result:
    """Check that the name of the first hop resolves."""
    host, port = route.first_hop
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Result(
            "DNS",
            Status.FAILED,
            f"{excerpt(host)} does not resolve: {_reason(error)}",
            "Check the name (AZURE_AUTHORITY_HOST, HTTPS_PROXY) and the DNS of the pod.",
        )
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return Result("DNS", Status.OK, f"{excerpt(host)} is {', '.join(list(addresses)[:3])}")


def check_tcp(route: Route) -> Result:
    """Check that the first hop accepts connections."""
    host, port = route.first_hop
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            pass
    except OSError as error:
        through = "the proxy in HTTPS_PROXY" if route.proxy else "firewall and network policies, or set HTTPS_PROXY"
        found = f"{excerpt(host)}:{port} cannot be connected to: {_reason(error)}"
        return Result("TCP", Status.FAILED, found, f"Check {through}.")
    return Result("TCP", Status.OK, f"{excerpt(host)}:{port} accepts connections")


def check_tls(route: Route) -> tuple[Result, Any]:
    """Check that the authority answers over HTTPS with a certificate that is trusted; return its answer too."""
    import requests

    if route.ca_bundle and not os.path.exists(route.ca_bundle):
        variable = next((name for name in _CA_VARIABLES if os.environ.get(name) == route.ca_bundle), _CA_VARIABLES[0])
        found = f"{variable} is {excerpt(route.ca_bundle)}, which does not exist"
        return Result("TLS", Status.FAILED, found, f"Correct {variable}, or unset it."), None
    try:
        answer = requests.get(route.url, timeout=(_CONNECT_SECONDS, _READ_SECONDS), allow_redirects=False)
    except requests.exceptions.SSLError as error:
        return Result(
            "TLS",
            Status.FAILED,
            f"{_host(route)} shows a certificate that is not trusted ({route.summary()}): {_innermost(error)}",
            "Behind a TLS-inspecting proxy, set REQUESTS_CA_BUNDLE (and SSL_CERT_FILE) to a file that holds its "
            "certificate authority.",
        ), None
    except requests.exceptions.RequestException as error:
        is_of_proxy = isinstance(error, requests.exceptions.InvalidURL)
        found = PROXY_CANNOT_BE_PARSED if is_of_proxy else _innermost(error)
        return Result(
            "TLS",
            Status.FAILED,
            f"{_host(route)} does not answer over HTTPS ({route.summary()}): {found}",
            "Check the proxy (HTTPS_PROXY, NO_PROXY) and the firewall.",
        ), None
    return Result("TLS", Status.OK, f"{_host(route)} answers (HTTP {answer.status_code}), {route.summary()}"), answer


def check_clock(answer: Any) -> Result:
    """Compare this machine's clock with the authority's."""
    now = time.time()
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (AttributeError, KeyError, TypeError, ValueError):
        return Result("clock", Status.SKIPPED, "the authority host did not say what time it is")
    skew = now - theirs
    which = "ahead of" if skew > 0 else "behind"
    if abs(skew) < _SKEW_WORTH_A_WARNING:
        return Result("clock", Status.OK, f"within {max(abs(skew), 1):.0f} s of the authority host's")
    return Result(
        "clock",
        Status.WARNING,
        f"{format_duration(abs(skew))} {which} the authority host's",
        "Set this machine's clock (NTP): tokens are valid by Entra's clock.",
    )


def openid_configuration_of(case: Case) -> str:
    """Return a URL of the authority host that answers without a sign-in."""
    tenant = case.identity.tenant_id if case.identity else "organizations"
    return f"{case.authority_host}/{tenant}/v2.0/.well-known/openid-configuration"


def _host(route: Route) -> str:
    return excerpt(urlsplit(route.url).netloc)


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
