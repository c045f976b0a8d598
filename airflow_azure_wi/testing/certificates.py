"""The private certificate authority of the offline Azure."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from airflow_azure_wi.clouds import CLOUDS
from airflow_azure_wi.testing.private_files import make_private_directory, write_private

# The domains of storage accounts, in each cloud.
STORAGE_DOMAINS = tuple(
    (service, f"{service}.{cloud.storage_suffix}")
    for service in ("blob", "queue", "table")
    for cloud in CLOUDS.values()
)
ANY_ACCOUNT = tuple(f"*.{domain}" for _, domain in STORAGE_DOMAINS)

AUTHORITY_HOSTS = tuple(
    host
    for cloud in CLOUDS.values()
    for host in (urlsplit(cloud.authority_host).hostname or "", *cloud.other_authorities)
)


@dataclass(frozen=True)
class ServerCertificate:
    """A server certificate and its private key.

    :ivar certificate_file: the certificate chain (PEM).
    :ivar key_file: the private key (PEM).
    """

    certificate_file: Path
    key_file: Path


class Certificates:
    """A new certificate authority, and a certificate that it signed for the servers of the offline Azure.

    The authority's private key never leaves this process, so no one else can sign certificates that a client trusts.

    :param directory: where to write the files (mode 0700, files 0600).
    :ivar ca_file: the authority's certificate (PEM), for clients to trust.
    :ivar own: the certificate for 127.0.0.1, localhost, the real host names of Entra and of storage accounts, and
        simulated clusters.
    """

    def __init__(self, directory: Path) -> None:
        make_private_directory(directory)
        self._directory = directory
        self._authority = trustme.CA(organization_name="airflow-azure-wi offline Azure")
        self.ca_file = directory / "ca.pem"
        write_private(self.ca_file, self._authority.cert_pem.bytes())
        self.own = self.issue("server", "127.0.0.1", "localhost", "*.oidc.example", *AUTHORITY_HOSTS, *ANY_ACCOUNT)

    def issue(self, name: str, *hosts: str) -> ServerCertificate:
        """Sign a certificate for some hosts.

        :param name: the name of its files.
        :param hosts: addresses, or names. ``*`` as the first label means all names in a domain.
        """
        server = self._authority.issue_cert(*hosts)
        issued = ServerCertificate(self._directory / f"{name}.pem", self._directory / f"{name}-key.pem")
        write_private(issued.certificate_file, b"".join(pem.bytes() for pem in server.cert_chain_pems))
        write_private(issued.key_file, server.private_key_pem.bytes())
        return issued

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context for clients that trusts only this authority."""
        return ssl.create_default_context(cafile=str(self.ca_file))
