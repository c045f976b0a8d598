"""Which issuers Microsoft Entra ID can reach: it fetches an issuer's keys over the internet.

https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations (unsupported: issuers whose
OpenID configuration is not public), https://openid.net/specs/openid-connect-discovery-1_0.html (the issuer is an https
URL; its configuration is at ISSUER/.well-known/openid-configuration).
"""

import ipaddress
import re

from airflow_azure_wi.endpoints import split_https_url

_CONFIGURATION = "/.well-known/openid-configuration"

# https://westeurope.oic.prod-aks.azure.com/TENANT/CLUSTER/
_AKS_SUFFIX = ".oic.prod-aks.azure.com"

# Names that the internet's DNS never has: RFC 6761, RFC 6762, RFC 8375 and ICANN's .internal; .default and .svc end
# the short forms of a service's name in Kubernetes.
_PRIVATE_SUFFIXES = (".default", ".svc", ".local", ".localhost", ".internal", ".localdomain", ".home.arpa")

_HOW = "Entra fetches the keys of an issuer over the internet"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)


def issuer_of(url: str) -> str:
    """Return the issuer of an OpenID configuration's address; any other address is returned unchanged.

    The address does not tell whether the issuer ends with a slash. That of AKS does:
    https://learn.microsoft.com/azure/aks/use-oidc-issuer.
    """
    if not url.endswith(_CONFIGURATION):
        return url
    issuer = url.removesuffix(_CONFIGURATION)
    parts = split_https_url(issuer)
    return f"{issuer}/" if parts and str(parts.hostname).endswith(_AKS_SUFFIX) else issuer


def problem_of_issuer(issuer: str) -> str | None:
    """Say why Entra cannot fetch the keys of an issuer, or return None.

    :return: the end of a sentence about the issuer, such as ``its host is an IP address: ...``.
    """
    if issuer.lower().startswith("http://"):
        return f"it is http, and {_HOW} by https only"
    parts = split_https_url(issuer)
    if parts is None or not parts.hostname:
        return "it is not an https URL"
    if parts.query or parts.fragment:
        return "it is not an issuer: an issuer has no query and no fragment"
    return _problem_of_host(parts.hostname.rstrip("."))


def _problem_of_host(host: str) -> str | None:
    if _is_address(host):
        return f"its host is an IP address: {_HOW}, by a name that has a certificate"
    if host == "localhost" or host.endswith(_PRIVATE_SUFFIXES):
        return f"its host is known only inside of a cluster or a network: {_HOW}"
    if "." not in host:
        return f"its host is a single label, which is not a name on the internet: {_HOW}"
    return None if all(map(_LABEL.fullmatch, host.split("."))) else "its host is not a valid DNS name"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # A name of the internet does not end in a number: RFC 3696, section 2.
        return bool(re.fullmatch(r"(0x[0-9a-f]+|[0-9]+)", host.rsplit(".", 1)[-1], re.IGNORECASE))
    return True
