"""The whole offline Azure."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from airflow_azure_wi.testing.azurite import Azurite
from airflow_azure_wi.testing.certificates import AUTHORITY_HOSTS, STORAGE_DOMAINS, Certificates
from airflow_azure_wi.testing.cluster import Cluster
from airflow_azure_wi.testing.entra import SimulatedEntra
from airflow_azure_wi.testing.identities import FederatedIdentityCredential, ManagedIdentity
from airflow_azure_wi.testing.private_files import make_private_directory
from airflow_azure_wi.testing.projected_token import ProjectedToken
from airflow_azure_wi.testing.proxy import Proxy
from airflow_azure_wi.testing.server import HttpsServer

NAMESPACE = "airflow"
SERVICE_ACCOUNT = "airflow-worker"


class OfflineAzure:
    """An Azure for tests and laptops. Use it in a ``with`` statement.

    One managed identity trusts one workload: the service account ``airflow-worker`` in the namespace ``airflow``.
    Programs that run with :meth:`environment` reach Entra and storage at the real addresses, such as
    ``https://login.microsoftonline.com`` and ``https://acct.blob.core.windows.net``.

    :param directory: where to write certificates and the projected token. Azurite keeps its data in memory.
    :param with_storage: whether to run Azurite.
    :param token_lifetime: seconds until a projected token expires.
    :param access_token_lifetime: seconds until an access token expires.
    :param identity: the managed identity, or None for one with new random ids.
    :param accounts: the names of the storage accounts.
    :ivar entra: the simulated Entra.
    :ivar cluster: the cluster of the workload.
    :ivar projected_token: the workload's projected token.
    :ivar identity: the managed identity.
    :raises AzuriteError: on entering, if Azurite cannot be installed or started.
    """

    entra: SimulatedEntra
    cluster: Cluster
    projected_token: ProjectedToken
    identity: ManagedIdentity

    def __init__(
        self,
        directory: Path,
        *,
        with_storage: bool = True,
        token_lifetime: float = 3600.0,
        access_token_lifetime: float = 3600.0,
        identity: ManagedIdentity | None = None,
        accounts: Sequence[str] = ("acct",),
    ) -> None:
        self._directory = directory.absolute()
        self._with_storage = with_storage
        self._token_lifetime = token_lifetime
        self._access_token_lifetime = access_token_lifetime
        self._accounts = accounts
        self.identity = identity or ManagedIdentity()
        self._azurite: Azurite | None = None
        self._running = ExitStack()

    def __enter__(self) -> "OfflineAzure":
        with ExitStack() as running:
            self._start(running)
            self._running = running.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._running.close()

    @property
    def azurite(self) -> Azurite:
        """The storage accounts.

        :raises RuntimeError: if it runs without storage.
        """
        if self._azurite is None:
            raise RuntimeError("This OfflineAzure has no storage: it was made with with_storage=False.")
        return self._azurite

    def identity_json(self) -> dict[str, Any]:
        """Return the managed identity as ``az identity create`` prints it."""
        return self.identity.as_json()

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the workload.

        They replace the certificate authorities and set a proxy that refuses every host outside this Azure, so that a
        program cannot reach the real one by mistake.
        """
        ca_file = str(self._certificates.ca_file)
        proxy = {"HTTPS_PROXY": self._proxy.url, "NO_PROXY": "127.0.0.1,localhost"}
        return {
            "AZURE_FEDERATED_TOKEN_FILE": str(self.projected_token.path),
            "AZURE_AUTHORITY_HOST": self.entra.authority_host,
            "REQUESTS_CA_BUNDLE": ca_file,
            "SSL_CERT_FILE": ca_file,
            "CURL_CA_BUNDLE": ca_file,
            # DuckDB's Azure extension.
            "CURL_CA_INFO": ca_file,
            "NODE_EXTRA_CA_CERTS": ca_file,
            # Most programs read the lower-case names first, and the machine may have set those.
            **proxy,
            **{name.lower(): value for name, value in proxy.items()},
        }

    def serve(self, app: ASGIApp, *hosts: str) -> None:
        """Serve an application at hosts of Azure, such as ``my-vault.vault.azure.net``, until this Azure ends.

        :param app: an ASGI application. It has to check access tokens itself. It can use WebSockets if the package
            ``websockets`` is installed.
        :param hosts: host names, without a port.
        """
        self._running.enter_context(self.serving(app, *hosts))

    @contextmanager
    def serving(self, app: ASGIApp, *hosts: str) -> Iterator[None]:
        """Do the same as :meth:`serve` in a ``with`` statement. Afterwards, the hosts are served as before."""
        certificate = self._certificates.issue(f"served-{hosts[0]}", *hosts)
        with HttpsServer(app, certificate) as server:
            before = {host: self._proxy.lead(host, server.port) for host in hosts}
            try:
                yield
            finally:
                for host, port in before.items():
                    self._proxy.lead(host, port)

    @property
    def storage_hosts(self) -> list[str]:
        """The real host names of the storage accounts, such as ``acct.blob.core.windows.net``."""
        return [f"{account}.{domain}" for account in self._accounts for _, domain in STORAGE_DOMAINS]

    def _start(self, running: ExitStack) -> None:
        make_private_directory(self._directory)
        self._certificates = Certificates(self._directory / "certificates")
        if self._with_storage:
            # Started first and awaited last, because it takes longest.
            self._azurite = Azurite(self._certificates, accounts=self._accounts)
            running.callback(self._azurite.stop)
            self._azurite.start()
        self._proxy = running.enter_context(Proxy())
        self.cluster = running.enter_context(Cluster(self._certificates))
        self._proxy.lead(self.cluster.host, self.cluster.port)
        self.entra = running.enter_context(
            SimulatedEntra(self._certificates, access_token_lifetime=self._access_token_lifetime)
        )
        for host in AUTHORITY_HOSTS:
            self._proxy.lead(host, self.entra.port)
        self.projected_token = ProjectedToken(self._directory / "tokens", self._sign)
        self.identity.add_credential(
            FederatedIdentityCredential(
                SERVICE_ACCOUNT, self.cluster.issuer, f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
            )
        )
        self.entra.register(self.identity)
        if self._azurite is not None:
            self._azurite.wait_until_listening()
            self._lead_to_storage(self._azurite)

    def _lead_to_storage(self, azurite: Azurite) -> None:
        urls = {"blob": azurite.blob_url, "queue": azurite.queue_url, "table": azurite.table_url}
        for service, domain in STORAGE_DOMAINS:
            for account in self._accounts:
                self._proxy.lead(f"{account}.{domain}", urlsplit(urls[service]).port)

    def _sign(self) -> str:
        return self.cluster.service_account_token(NAMESPACE, SERVICE_ACCOUNT, lifetime=self._token_lifetime)
