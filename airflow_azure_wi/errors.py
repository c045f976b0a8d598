"""The exceptions of this package, and what Microsoft Entra ID's error codes mean and how to mend them.

Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


class WorkloadIdentityError(Exception):
    """The base of every exception that this package raises on purpose."""


class IdentityError(WorkloadIdentityError):
    """A connection does not say who to sign in as, or says it wrongly.

    :ivar problems: everything that is wrong, one sentence or two each.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source} does not describe a workload identity:\n{lines}")

    def __reduce__(self) -> tuple[type["IdentityError"], tuple[str, tuple[str, ...]]]:
        # Exceptions cross process boundaries; the default rebuilds them from the one message.
        return type(self), (self.source, self.problems)


class FederationError(WorkloadIdentityError):
    """Workloads cannot be linked to a managed identity as they were asked to be.

    :ivar problems: everything that is wrong, one sentence or two each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("the workloads cannot be linked:\n" + "\n".join(f"  - {problem}" for problem in problems))

    def __reduce__(self) -> tuple[type["FederationError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DeploymentError(WorkloadIdentityError):
    """The deployment (environment variables, Airflow configuration) names something that cannot be used."""


class FederatedTokenError(WorkloadIdentityError):
    """The federated token cannot be read from its file, or is not a JSON Web Token."""


class TokenExchangeError(WorkloadIdentityError):
    """Microsoft Entra ID gave no access token for the federated token.

    On purpose it is no ``azure.core.exceptions.AzureError``: clients of Azure Storage retry every one of those, failed
    sign-ins included, and keep a task that cannot succeed waiting for more than a minute. What may pass is retried
    where the exchange is made.

    :ivar code: the AADSTS code, such as ``"AADSTS700213"``, or None where Entra was not reached or gave none.
    :ivar command: the shell command that mends it, which ends the message's next step, or None where that is not known.
    """

    def __init__(self, message: str, code: str | None = None, command: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.command = command


class EndpointError(WorkloadIdentityError):
    """A connection id names an endpoint that cannot be used, or names one for a connection that takes none."""


class ClientError(WorkloadIdentityError):
    """An Azure SDK client, or another process, cannot be given what it wants from the connection and the call."""


@dataclass(frozen=True)
class Explanation:
    """What an error code of Microsoft Entra ID means for a workload, and how to mend it."""

    cause: str
    mend: str


_FEDERATED_CREDENTIAL = (
    "Compare `az identity federated-credential list --identity-name NAME --resource-group GROUP` with the "
    "federated token above, and create or correct the federated identity credential. A new one takes a few "
    "minutes to be seen."
)

_ISSUER_KEYS = (
    "Check that ISSUER/.well-known/openid-configuration, and the jwks_uri in it, answer from the internet with the "
    "keys that the cluster signs with now. After a change of keys, Entra may take a while to see the new ones."
)

EXPLANATIONS = {
    "AADSTS70021": Explanation(
        cause="No federated identity credential of the managed identity matches the federated token.",
        mend=_FEDERATED_CREDENTIAL,
    ),
    "AADSTS700211": Explanation(
        cause="No federated identity credential of the managed identity has the federated token's issuer.",
        mend=_FEDERATED_CREDENTIAL + " The issuer must match to the last character, a trailing slash included.",
    ),
    "AADSTS700212": Explanation(
        cause="No federated identity credential of the managed identity has the federated token's audience.",
        mend="Project the federated token with the audience of the cloud's token exchange "
        "(api://AzureADTokenExchange in Azure's public cloud, api://AzureADTokenExchangeUSGov in US Government, "
        "api://AzureADTokenExchangeChina in China), and give the federated identity credential the same.",
    ),
    "AADSTS700213": Explanation(
        cause="No federated identity credential of the managed identity has the federated token's subject: this "
        "workload's service account is not linked to the identity.",
        mend=_FEDERATED_CREDENTIAL + " Scheduler, triggerer and workers have a subject, and need a credential, each.",
    ),
    "AADSTS700027": Explanation(
        cause="The federated token's signature does not fit the keys that its issuer publishes.",
        mend=_ISSUER_KEYS,
    ),
    "AADSTS7000272": Explanation(
        cause="The federated token is signed with a key that its issuer does not publish.",
        mend=_ISSUER_KEYS,
    ),
    "AADSTS50166": Explanation(
        cause="Microsoft Entra ID could not fetch the keys of the federated token's issuer.",
        mend=_ISSUER_KEYS,
    ),
    "AADSTS700231": Explanation(
        cause="The client assertion is an access token that was itself got through a federated identity credential.",
        mend="Present the workload's own federated token: give the application a federated identity credential for the "
        "service account (`airflow-azure-wi link --application`).",
    ),
    "AADSTS700024": Explanation(
        cause="The federated token is outside its validity period.",
        mend="Check that the token file is rotated (the kubelet does it for projected volumes) and that this "
        "machine's clock is right.",
    ),
    "AADSTS700016": Explanation(
        cause="The tenant has no application or managed identity with this client id.",
        mend="Check clientId and tenantId with `az identity show --name NAME --resource-group GROUP`: clientId is "
        "neither principalId nor the object id.",
    ),
    "AADSTS90002": Explanation(
        cause="There is no such tenant in this cloud.",
        mend="Check tenantId with `az identity show --name NAME --resource-group GROUP`, and that the authority "
        "host is that of the tenant's cloud.",
    ),
    "AADSTS500011": Explanation(
        cause="The tenant knows no resource with the name that the scope begins with.",
        mend="Check the scope for typing errors; a scope is the resource's URI followed by /.default, such as "
        "https://storage.azure.com/.default.",
    ),
    "AADSTS70011": Explanation(
        cause="The scope is malformed.",
        mend="Ask for one resource a call, as its URI followed by /.default, such as "
        "https://storage.azure.com/.default.",
    ),
    "AADSTS1002012": Explanation(
        cause="The scope does not end in /.default, the only kind that a workload can ask for.",
        mend="Ask for the resource's URI followed by /.default, such as https://storage.azure.com/.default.",
    ),
    "AADSTS7000112": Explanation(
        cause="The application is disabled in its tenant.",
        mend="Enable it in Microsoft Entra ID under Enterprise applications > Properties, or use another identity.",
    ),
}


def entra_error_code(message: str) -> str | None:
    """Return the first AADSTS code in a message of Microsoft Entra ID, or None.

    :param message: the text of an exception or of the ``error_description`` of a token response.
    """
    found = re.search(r"AADSTS\d+", message)
    return found.group() if found else None
