"""The exceptions of this package."""

import sys
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from airflow_azure_wi.redaction import quoted

_MOST_NAMES = 5


def names_of(users: Collection[str]) -> str:
    """Return the connections that use an identity, for a message: at most five of them."""
    named = ", ".join(islice(list(users), _MOST_NAMES))
    return f"{named} and {len(users) - _MOST_NAMES} more" if len(users) > _MOST_NAMES else named


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


# What a problem is about, by the name of its field in a form, such as "issuer"; and what is wrong, one sentence or two.
Problem = tuple[str, str]


class FederationError(WorkloadIdentityError):
    """Workloads cannot be linked to a managed identity as they were asked to be.

    :ivar problems: everything that is wrong, each once.
    :ivar by_field: the same, by what it is about.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.by_field: dict[str, list[str]] = {}
        unique = tuple(dict.fromkeys(problems))
        for field, problem in unique:
            self.by_field.setdefault(field, []).append(problem)
        self.problems = tuple(dict.fromkeys(problem for _, problem in unique))
        super().__init__("the workloads cannot be linked:\n" + "\n".join(f"  - {each}" for each in self.problems))

    def __reduce__(self) -> tuple[type["FederationError"], tuple[list[Problem]]]:
        return type(self), ([(field, each) for field, problems in self.by_field.items() for each in problems],)


class DeploymentError(WorkloadIdentityError):
    """The deployment (environment variables, Airflow configuration) names something that cannot be used."""


class FederatedTokenError(WorkloadIdentityError):
    """The federated token cannot be read from its file, or is not a JSON Web Token."""


class TokenExchangeError(WorkloadIdentityError):
    """Microsoft Entra ID gave no access token for the federated token.

    On purpose it is not an ``azure.core.exceptions.AzureError``: clients of Azure Storage retry every one of those,
    failed sign-ins included, and keep a task that cannot succeed waiting for more than a minute. Temporary failures are
    retried where the exchange is made.

    :ivar connection: who asked: the connections, with client id and tenant.
    :ivar scope: what the access token was to be for.
    :ivar cause: what is wrong.
    :ivar next_step: what to do.
    :ivar command: the shell command that fixes it, or None where none is known.
    :ivar code: the AADSTS code, such as ``"AADSTS700213"``, or None where Entra was not reached or gave none.
    :ivar claims: what the federated token that was presented claims, or None where none was.
    :ivar answer: what was answered, shortened and without secrets, or None.
    """

    def __init__(
        self,
        *,
        connection: str,
        scope: str,
        cause: str,
        next_step: str,
        command: str | None = None,
        code: str | None = None,
        claims: str | None = None,
        answer: str | None = None,
    ) -> None:
        self.connection = connection
        self.scope = scope
        self.cause = cause
        self.next_step = next_step
        self.command = command
        self.code = code
        self.claims = claims
        self.answer = answer
        lines = [
            f"{connection}: no access token for scope {scope}.",
            cause[:1].upper() + cause[1:],
            f"Next step: {next_step}",
        ]
        lines += [command] if command else []
        lines += [f"Federated token: {claims}."] if claims else []
        lines += [f"Answer: {answer}"] if answer else []
        super().__init__("\n".join(lines))

    def fields(self) -> dict[str, Any]:
        """Return the arguments that make an equal one."""
        names = ("connection", "scope", "cause", "next_step", "command", "code", "claims", "answer")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.fields()), ()


class TenantError(WorkloadIdentityError):
    """A service is in another tenant than the identity that is to reach it."""


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
