"""Empties Azurite, so that a test does not see what another one stored."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import jwt
import requests

_VERSION = "2021-12-02"
_SECONDS = 30.0
_LEASED = 412
_BREAK_LEASE = {"x-ms-lease-action": "break", "x-ms-lease-break-period": "0"}


class Emptier:
    """Deletes all containers, queues and tables of accounts. It keeps its connections open.

    :param ca_file: the certificate authority that signed Azurite's certificate.
    """

    def __init__(self, ca_file: Path) -> None:
        self._session = requests.Session()
        # Azurite is on loopback, whatever proxy and certificate authorities the environment of a test sets.
        self._session.trust_env = False
        self._session.verify = str(ca_file)
        # Tables need the Accept header. Blobs and queues ignore it and answer in XML.
        self._session.headers.update({"x-ms-version": _VERSION, "Accept": "application/json;odata=nometadata"})

    def empty(self, *, blob_url: str, queue_url: str, table_url: str) -> None:
        """Delete everything in an account.

        :raises OSError: if Azurite refuses or does not answer.
        """
        self._session.headers["Authorization"] = f"Bearer {_access_token()}"
        _delete_all(lambda: self._names_at(blob_url), lambda name: self._delete_container(f"{blob_url}/{name}"))
        _delete_all(lambda: self._names_at(queue_url), lambda name: self._call("DELETE", f"{queue_url}/{name}"))
        _delete_all(
            lambda: self._tables_at(table_url), lambda name: self._call("DELETE", f"{table_url}/Tables('{name}')")
        )

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def _names_at(self, url: str) -> list[str]:
        # The XML comes from Azurite, on loopback.
        listed = ElementTree.fromstring(self._call("GET", f"{url}?comp=list").content)  # noqa: S314
        return [name.text or "" for name in listed.iterfind("./*/*/Name")]

    def _tables_at(self, url: str) -> list[str]:
        listed = self._call("GET", f"{url}/Tables").json()
        return [table["TableName"] for table in listed["value"]]

    def _delete_container(self, url: str) -> None:
        url = f"{url}?restype=container"
        if self._call("DELETE", url, accepted=_LEASED).status_code == _LEASED:
            self._call("PUT", f"{url}&comp=lease", headers=_BREAK_LEASE)
            self._call("DELETE", url)

    def _call(
        self, method: str, url: str, *, accepted: int = 0, headers: Mapping[str, str] = MappingProxyType({})
    ) -> requests.Response:
        response = self._session.request(method, url, headers=headers, timeout=_SECONDS)
        if response.status_code != accepted:
            response.raise_for_status()
        return response


def _delete_all(names: Callable[[], list[str]], delete: Callable[[str], object]) -> None:
    # A list has a few thousand entries at most; the next one has the rest.
    while found := names():
        for name in found:
            delete(name)


def _access_token() -> str:
    """Return an access token that Azurite accepts: it reads the claims and does not check the signature.

    A token from the simulated Entra would add an exchange to the test's record.
    """
    now = int(time.time())
    claims = {"iss": "https://sts.windows.net/-/", "iat": now, "nbf": now, "exp": now + 600}
    audience = {"aud": "https://storage.azure.com"}
    return jwt.encode(claims | audience, "known to everybody, as nobody checks it", algorithm="HS256")
