"""The private certificate authority of the offline Azure."""

import ssl
from pathlib import Path

import trustme

from airflow_azure_wi.testing.private_files import make_private_directory, write_private


class Certificates:
    """A new certificate authority, and a server certificate for loopback that it signed.

    The authority's private key never leaves this process, so nobody else can sign with what a client trusts.

    :param directory: where the files are written (mode 0700, files 0600).
    :ivar ca_file: the authority's certificate (PEM), for clients to trust.
    :ivar certificate_file: the server's certificate chain (PEM).
    :ivar key_file: the server's private key (PEM).
    """

    def __init__(self, directory: Path) -> None:
        make_private_directory(directory)
        self.ca_file = directory / "ca.pem"
        self.certificate_file = directory / "server.pem"
        self.key_file = directory / "server-key.pem"
        authority = trustme.CA(organization_name="airflow-azure-wi offline Azure")
        server = authority.issue_cert("127.0.0.1", "localhost")
        write_private(self.ca_file, authority.cert_pem.bytes())
        write_private(self.certificate_file, b"".join(pem.bytes() for pem in server.cert_chain_pems))
        write_private(self.key_file, server.private_key_pem.bytes())

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context for clients that trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.ca_file))
