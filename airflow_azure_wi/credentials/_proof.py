"""What an identity signs in with: the federated token or, in a chain, an access token of the identity before it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from azure.core.credentials import AccessTokenInfo

from airflow_azure_wi import federated_token
from airflow_azure_wi.credentials._sharing import TokenRequest
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import EXPLANATIONS, Explanation
from airflow_azure_wi.federated_token import FederatedToken
from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, problems_of_credential
from airflow_azure_wi.identity import WorkloadIdentity

_UNKNOWN_APPLICATION = "AADSTS700016"
_NO_MATCH = frozenset({"AADSTS70021", "AADSTS700211", "AADSTS700212", "AADSTS700213"})


class Mend(NamedTuple):
    """What a refusal means, and the command that mends it, if one does."""

    explanation: Explanation | None
    command: str | None = None


class Proof(Protocol):
    """Where client assertions come from, and what it means if Entra refuses one."""

    def client_assertion(self) -> FederatedToken:
        """Return the one to present now."""

    def described(self, presented: FederatedToken) -> str:
        """Return what Entra compares, for messages."""

    def mend(self, code: str | None, presented: FederatedToken | None) -> Mend:
        """Return what a refusal means."""


class ProjectedProof:
    """The federated token, read anew for each exchange."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def client_assertion(self) -> FederatedToken:
        """Read the file."""
        return federated_token.read_current(self._deployment.token_file, named_by=self._deployment.token_file_named_by)

    def described(self, presented: FederatedToken) -> str:
        """Return its claims and the file."""
        return f"Federated token: {presented.described()}, from {str(self._deployment.token_file)!r}."

    def mend(self, code: str | None, presented: FederatedToken | None) -> Mend:
        """Return what is known of the code."""
        return Mend(EXPLANATIONS.get(code or ""))


class ChainedProof:
    """The access token of the identity before, for the audience of the token exchange.

    :param identity: the application that it is presented for.
    :param via: the identity before it in the chain.
    :param exchange: gets access tokens of that one.
    """

    def __init__(
        self,
        identity: WorkloadIdentity,
        via: WorkloadIdentity,
        exchange: Callable[[TokenRequest], AccessTokenInfo],
    ) -> None:
        self._identity = identity
        self._via = via
        self._exchange = exchange

    def client_assertion(self) -> FederatedToken:
        """Get the access token, through at most one exchange for all who ask for it."""
        scope = f"{self._via.cloud.token_exchange_audience}/.default"
        access_token = self._exchange(TokenRequest((scope,)))
        return FederatedToken.parse(access_token.token, source=f"The access token of client id {self._via.client_id}")

    def described(self, presented: FederatedToken) -> str:
        """Return its claims and whose it is."""
        return f"Client assertion: {presented.described()}, the access token of client id {self._via.client_id}."

    def mend(self, code: str | None, presented: FederatedToken | None) -> Mend:
        """Return what the code means for an application that trusts an identity."""
        application, tenant = self._identity.client_id, self._identity.tenant_id
        if code in _NO_MATCH and presented is not None:
            return self._mend_trust(presented)
        if code == _UNKNOWN_APPLICATION:
            return Mend(
                Explanation(
                    cause="The tenant has no application with this client id.",
                    mend="Check the chain's clientId and tenantId. In another tenant than its own, an application "
                    f"needs a service principal; signed in to {tenant}, this makes one.",
                ),
                f"az ad sp create --id {application}",
            )
        return Mend(EXPLANATIONS.get(code or ""))

    def _mend_trust(self, presented: FederatedToken) -> Mend:
        credential = FederatedIdentityCredential.of(
            presented.issuer, presented.subject, self._identity.cloud.token_exchange_audience
        )
        explanation = Explanation(
            cause="No federated identity credential of the application trusts the identity before it in the chain: "
            "with the issuer and the subject below, and the audience of the token exchange.",
            mend="Create it, signed in to the tenant in which the application is registered. A new one takes a few "
            "minutes to be seen.",
        )
        if any(problems_of_credential(credential)):
            return Mend(explanation)
        return Mend(explanation, commands.create_for_application(self._identity.client_id, credential))
