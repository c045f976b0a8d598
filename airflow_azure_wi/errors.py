"""The exceptions of this package."""

import sys
from collections.abc import Sequence

from airflow_azure_wi.redaction import quoted


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
    :ivar command: the shell command that fixes it, which ends the message's next step, or None where that is not known.
    """

    def __init__(self, message: str, code: str | None = None, command: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.command = command


class EndpointError(WorkloadIdentityError):
    """A connection id names an endpoint that cannot be used, or names one for a connection that takes none."""


class ClientError(WorkloadIdentityError):
    """An Azure SDK client, or another process, cannot be given what it wants from the connection and the call."""


class AirflowNotInstalledError(WorkloadIdentityError, ModuleNotFoundError):
    """This Python has no Airflow, as where ``@task.virtualenv`` or ``@task.external_python`` runs its code."""

    def __init__(self) -> None:
        super().__init__(
            f"Apache Airflow is not installed for {quoted(sys.executable)}, and its connections can only be read where "
            "it is. Call AzureWorkloadIdentityHook(...).environment() in another task, one that Airflow's own Python "
            "runs, and pass what it returns to this code. Here, add that to os.environ and sign in with "
            "azure-identity's DefaultAzureCredential(): pip install azure-identity"
        )
        self.name = "airflow"

    def __reduce__(self) -> tuple[type["AirflowNotInstalledError"], tuple[()]]:
        return type(self), ()
