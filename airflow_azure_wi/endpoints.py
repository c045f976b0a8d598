"""Connection ids that name an endpoint: one identity, and any number of accounts that it is used at.

An endpoint belongs to the call, not to the identity. ``at("azure_wi", "https://acct.blob.core.windows.net")`` is the
id ``azure_wi@acct.blob.core.windows.net``: plain text, which is stored, shown and deferred like any other id. A port
and a path are percent-encoded: the id stands in URLs too, where a slash would end it. Airflow allows no ``@`` in the id
of a connection that it stores (``RE_SANITIZE_CONN_ID`` in ``airflow/models/connection.py``, the same in 2.11 to 3.3).
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.redaction import quoted

# Instead of what requests says, which is a part of the password where there is a slash in it.
PROXY_CANNOT_BE_PARSED = (
    "the URL of the proxy in HTTPS_PROXY cannot be parsed: expected http://USER:PASSWORD@HOST:PORT, with each of "
    "/ ? # @ : % in user and password percent-encoded"
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HTTPS = re.compile(r"https://", re.IGNORECASE)
# Without https://, a word alone is the name of an account, and no host.
_BARE_HOST = re.compile(r"\[|[^/:]*\.")
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PATH = re.compile(r"[A-Za-z0-9/._~$-]*")
_TEMPLATE = re.compile(r"\{\{|\{%")
_EXPECTED = "expected an https URL of a host, such as https://acct.blob.core.windows.net"


@dataclass(frozen=True)
class Endpoint:
    """The https URL of a service that an identity is used at.

    :param url: without a slash at its end, its host in lower case.
    """

    url: str

    @classmethod
    def of(cls, text: str) -> "Endpoint":
        """Check a URL and return it as an endpoint.

        :param text: ``https://`` may be left out; blanks around it do not count.
        :raises EndpointError: if it is not an https URL of a host, or has more than a path behind the host.
        """
        url = _https_url(text)
        if url is None:
            raise EndpointError(
                f"The endpoint {quoted(text)} cannot be used: {_EXPECTED}. A port and a path may follow the host; a "
                "user, a query or a fragment may not."
            )
        return cls(url)

    @property
    def hostname(self) -> str:
        """The host alone, such as ``acct.blob.core.windows.net``."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int | None:
        """The port, if the URL names one."""
        return urlsplit(self.url).port

    @property
    def location(self) -> str:
        """The URL without its scheme, such as ``acct.blob.core.windows.net``."""
        return self.url.removeprefix("https://")

    @property
    def account(self) -> str:
        """What the host calls the account: its first label, such as ``acct``."""
        return self.hostname.split(".", 1)[0]


def at(conn_id: str, endpoint: str) -> str:
    """Return the id of a connection, used at an endpoint: for any ``*_conn_id`` of a stock Azure operator or hook.

    .. code-block:: python

        WasbBlobSensor(wasb_conn_id=at("azure_wi", "https://acct.blob.core.windows.net"), ...)

    :param conn_id: the id of an ``azure_workload_identity`` connection.
    :param endpoint: the https URL of the service, as the stock connection of that service would have it as its host;
        ``https://`` may be left out. A template, such as ``{{ var.value.account_url }}``, is passed on as it is, and
        checked when the id is used; only where Airflow renders the field that the id is given to, it is ever rendered.
    :raises EndpointError: if one of them cannot be used.
    """
    if not isinstance(conn_id, str) or not conn_id.strip() or "@" in conn_id:
        raise EndpointError(
            f"The connection id {quoted(conn_id)} cannot be used at an endpoint: expected the id of an "
            "azure_workload_identity connection, without an endpoint of its own."
        )
    if isinstance(endpoint, str) and _TEMPLATE.search(endpoint):
        return f"{conn_id.strip()}@{endpoint.strip()}"
    return f"{conn_id.strip()}@{quote(Endpoint.of(endpoint).location, safe='')}"


def split(conn_id: str) -> tuple[str, str | None]:
    """Return the id of the connection itself, and what follows the first ``@`` in it, which :func:`named` reads."""
    own_id, separator, text = conn_id.partition("@")
    return (own_id, text) if separator and own_id else (conn_id, None)


def has_endpoint(conn_id: object) -> bool:
    """Return whether a connection id names an endpoint."""
    return isinstance(conn_id, str) and split(conn_id)[1] is not None


def named(text: str) -> Endpoint:
    """Return the endpoint that an id names, as :func:`at` wrote it or as a rendered template or a person did.

    :param text: what follows the ``@``.
    :raises EndpointError: if it names none that can be used.
    """
    if _TEMPLATE.search(text):
        raise EndpointError(
            f"The endpoint {quoted(text)} of a connection id is a template that was not rendered. Airflow renders only "
            "the fields that the operator names in template_fields: give this one the URL itself, or make the id where "
            "the task runs, with at(conn_id, Variable.get(...))."
        )
    return Endpoint.of(unquote(text))


def endpoint_of(conn_id: str) -> Endpoint | None:
    """Return the endpoint that the id of a workload identity connection names, if it does.

    :raises EndpointError: if it names one that cannot be used.
    """
    text = split(conn_id)[1]
    return None if text is None else named(text)


def without_endpoint(conn_id: str) -> str:
    """Return an id without its endpoint; one whose ``@`` is followed by something else is left as it is."""
    own_id, text = split(conn_id)
    try:
        return conn_id if text is None or not named(text) else own_id
    except EndpointError:
        return conn_id


def _https_url(text: object) -> str | None:
    """Return a text as an https URL, in the one form that it is compared and shown in; None if it cannot be one."""
    if not isinstance(text, str):
        return None
    url = text.strip()
    if _HTTPS.match(url):
        url = f"https://{url[8:]}"
    elif _SCHEME.match(url) or not _BARE_HOST.match(url):
        return None
    else:
        url = f"https://{url}"
    parts = split_https_url(url)
    if parts is None or url != f"https://{parts.netloc}{parts.path}" or not _is_host(parts.netloc, parts.hostname):
        return None
    return f"https://{parts.netloc.lower()}{parts.path.rstrip('/')}" if _PATH.fullmatch(parts.path) else None


def _is_host(netloc: str, hostname: str | None) -> bool:
    if hostname is None or netloc.endswith(":"):
        return False
    if not netloc.startswith("["):
        return _HOSTNAME.fullmatch(hostname) is not None
    from ipaddress import IPv6Address

    try:
        return "%" not in str(IPv6Address(hostname))
    except ValueError:
        return False


def split_https_url(text: str) -> SplitResult | None:
    """Return the parts of an https URL of a host; None for anything else.

    A user or password in it, a port that is not a number and white space make it something else. Whether a path, a
    query or a fragment may follow the host is for the caller to say.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError where it is not a number
    except ValueError:
        return None
    is_plain = bool(parts.hostname) and "@" not in parts.netloc and not any(map(str.isspace, text))
    return parts if parts.scheme == "https" and is_plain else None
