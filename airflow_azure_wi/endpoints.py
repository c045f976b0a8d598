"""Connection ids that name an endpoint: one identity, and any number of accounts that it is used at.

An endpoint belongs to the call, not to the identity. ``at("azure_wi", "https://acct.blob.core.windows.net")`` is the
id ``azure_wi@https://acct.blob.core.windows.net``: plain text, which is stored, shown and deferred like any other id.
Airflow allows no ``@`` in the id of a connection, so no connection can go by such a name itself.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_azure_wi.errors import EndpointError
from airflow_azure_wi.https_urls import split_https_url
from airflow_azure_wi.redaction import quoted

_ANY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PATH = re.compile(r"[A-Za-z0-9/._~-]*")
_EXPECTED = "expected an https URL of a host, such as https://acct.blob.core.windows.net"


@dataclass(frozen=True)
class Endpoint:
    """The https URL of a service that an identity is used at.

    :param url: without a slash at its end.
    """

    url: str

    @classmethod
    def of(cls, text: str) -> "Endpoint":
        """Check a URL and return it as an endpoint.

        :raises EndpointError: if it is not an https URL of a host, or has more than a path behind the host.
        """
        if not _is_https_url(text):
            raise EndpointError(
                f"The endpoint {quoted(text)} cannot be used: {_EXPECTED}. A port and a path may follow the host; a "
                "user, a query or a fragment may not."
            )
        return cls(text.rstrip("/"))

    @property
    def hostname(self) -> str:
        """The host alone, such as ``acct.blob.core.windows.net``."""
        return urlsplit(self.url).hostname or ""

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
    :param endpoint: the https URL of the service, as the stock connection of that service would have it as its host.
    :raises EndpointError: if one of them cannot be used.
    """
    if not isinstance(conn_id, str) or not conn_id.strip() or "@" in conn_id:
        raise EndpointError(
            f"The connection id {quoted(conn_id)} cannot be used at an endpoint: expected the id of an "
            "azure_workload_identity connection, without an endpoint of its own."
        )
    return f"{conn_id}@{Endpoint.of(endpoint).url}"


def split(conn_id: str) -> tuple[str, Endpoint | None]:
    """Return the id of the connection itself, and the endpoint that it is used at, if the id names one.

    :raises EndpointError: if it names one that cannot be used.
    """
    own_id, separator, endpoint = conn_id.partition("@")
    if not separator or not _ANY_URL.match(endpoint):
        return conn_id, None
    return own_id, Endpoint.of(endpoint)


def _is_https_url(text: str) -> bool:
    if not isinstance(text, str):
        return False
    parts = split_https_url(text)
    return (
        parts is not None
        and text == f"https://{parts.netloc}{parts.path}"
        and _HOSTNAME.fullmatch(parts.hostname or "") is not None
        and _PATH.fullmatch(parts.path) is not None
    )
