"""A workload of the offline Azure for one test, and the ways in which workloads fail in production."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from airflow_azure_wi.provider import CONNECTION_TYPE
from airflow_azure_wi.testing.azurite import Azurite
from airflow_azure_wi.testing.entra import Exchange
from airflow_azure_wi.testing.faults import Refuse, Status
from airflow_azure_wi.testing.identities import FederatedIdentityCredential, ManagedIdentity
from airflow_azure_wi.testing.offline import NAMESPACE, SERVICE_ACCOUNT, OfflineAzure
from airflow_azure_wi.testing.projected_token import ProjectedToken
from airflow_azure_wi.testing.storage_refusals import without_a_role

_EXPIRED = -60.0
_AHEAD = 600.0

# The error code of OAuth: RFC 6749, section 4.1.2.1.
_TOO_MANY_REQUESTS = b'{"error": "temporarily_unavailable", "error_description": "Too many requests."}'


class Workload:
    """This process as a workload in a cluster. The fixture ``azure_workload_identity`` yields it.

    It has a projected token, a managed identity that trusts it, and a connection. The methods break it as production
    does. The simulated Entra then refuses for that reason; nothing is patched. The next test has its own workload and
    identity, and sees none of it.

    :param azure: the running offline Azure.
    :param directory: where to project the federated token.
    :param set_variable: sets an environment variable for the duration of the test.
    :ivar conn_id: the id of the first connection.
    :ivar identity: the managed identity.
    """

    conn_id: str

    def __init__(self, azure: OfflineAzure, directory: Path, set_variable: Callable[[str, str], Any]) -> None:
        self._azure = azure
        self._set_variable = set_variable
        self._claims: dict[str, Any] = {}
        self._token = ProjectedToken(directory, self._sign)
        self._trusted = FederatedIdentityCredential(
            SERVICE_ACCOUNT, azure.cluster.issuer, f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
        )
        self._served = ExitStack()
        self._without_role = ExitStack()
        self.identity = ManagedIdentity()
        self.identity.add_credential(self._trusted)
        azure.azurite.empty()
        azure.entra.clear()
        azure.entra.register(self.identity)
        for name, value in (azure.environment() | {"AZURE_FEDERATED_TOKEN_FILE": str(self._token.path)}).items():
            set_variable(name, value)

    @property
    def storage(self) -> Azurite:
        """The storage account, with ``blob_url``, ``queue_url`` and ``table_url``. It is empty when a test starts."""
        return self._azure.azurite

    @property
    def exchanges(self) -> list[Exchange]:
        """The token requests of this test, including refused ones, in the order of their answers."""
        return self._azure.entra.exchanges

    def add_connection(self, conn_id: str, **extra: Any) -> str:
        """Define an Airflow connection of the managed identity, or replace the one with that id, and return the id.

        :param extra: more fields for the extra of the connection, besides the ids, such as ``resource_group``.
        """
        connection = {"conn_type": CONNECTION_TYPE, "extra": self.identity.as_json() | extra}
        self._set_variable(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        if not hasattr(self, "conn_id"):
            self.conn_id = conn_id
        return conn_id

    def remove_federated_credential(self) -> None:
        """Delete the federated identity credential of the managed identity. Entra then answers AADSTS70025."""
        self.identity.remove_credential(self._trusted.name)

    def change_federated_credential(
        self, *, issuer: str | None = None, subject: str | None = None, audience: str | None = None
    ) -> None:
        """Change the federated identity credential, so that the federated token no longer matches it.

        Entra then answers AADSTS700211 for another issuer, AADSTS700213 for another subject, and AADSTS700212 for
        another audience.
        """
        self.identity.add_credential(
            FederatedIdentityCredential(
                self._trusted.name,
                issuer or self._trusted.issuer,
                subject or self._trusted.subject,
                (audience,) if audience else self._trusted.audiences,
            )
        )

    def expire_federated_token(self) -> None:
        """Put an expired token into the file, as if it were not rotated.

        The hook raises an error without asking Entra. Other code that does ask gets AADSTS700024.
        """
        self._project(lifetime=_EXPIRED)

    def set_cluster_clock_ahead(self) -> None:
        """Put a token into the file that becomes valid in ten minutes, as if the cluster's clock were ahead.

        Entra then answers AADSTS700024.
        """
        self._project(nbf=int(time.time() + _AHEAD))

    def remove_federated_token(self) -> None:
        """Remove the projected file, as in a pod that the webhook did not change."""
        self._token.path.unlink(missing_ok=True)

    def remove_role_assignment(self) -> None:
        """Make the storage accounts answer 403, as to an identity with a token but no role.

        This affects clients that are created from now on, with the accounts' real host names. ``storage`` has no roles.
        """
        self._without_role.enter_context(self._azure.serving(without_a_role(), *self._azure.storage_hosts))

    def throttle(self, *, times: int = 1, retry_after: float = 1.0) -> None:
        """Make Entra answer the next token requests with HTTP 429.

        :param times: how many requests. A hook tries three times, then gives up.
        :param retry_after: the seconds that Entra asks to wait. A hook waits at most ten seconds.
        """
        headers = {"Retry-After": f"{retry_after:g}", "Content-Type": "application/json"}
        self._azure.entra.fail_next(*[Status(429, _TOO_MANY_REQUESTS, headers)] * times)

    def refuse(self, code: str, *, times: int = 1) -> None:
        """Make Entra refuse the next token requests for any other reason.

        :param code: an error code of Entra, such as ``"AADSTS53003"`` (blocked by Conditional Access).
        :param times: how many requests.
        """
        self._azure.entra.fail_next(*[Refuse(code)] * times)

    def repair(self) -> None:
        """Undo everything that the methods above broke."""
        self._without_role.close()
        self._azure.entra.stop_failing()
        self.identity.add_credential(self._trusted)
        self._project()

    def serve(self, app: ASGIApp, *hosts: str) -> None:
        """Serve an application at other hosts of Azure, such as ``my-vault.vault.azure.net``.

        :param app: an ASGI application, such as Starlette's. It has to check access tokens itself.
        :param hosts: host names, without a port.
        """
        self._served.enter_context(self._azure.serving(app, *hosts))

    def close(self) -> None:
        """Stop everything that it serves. The fixture calls this when the test ends."""
        self._without_role.close()
        self._served.close()

    def _project(self, **claims: Any) -> None:
        self._claims = claims
        self._token.rotate()

    def _sign(self) -> str:
        return self._azure.cluster.service_account_token(NAMESPACE, SERVICE_ACCOUNT, **self._claims)
