"""What is examined: which identity signs in, as far as that is known, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_azure_wi.clouds import PUBLIC, Cloud
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.errors import IdentityError
from airflow_azure_wi.federation import IdentityResource
from airflow_azure_wi.identity import (
    WorkloadIdentity,
    extra_of_connection,
    identity_from_connection,
    is_stock_workload_identity,
    name_of,
)
from airflow_azure_wi.provider import OPTIONS, option_variable

_TOKEN_PROXY = "AZURE_KUBERNETES_TOKEN_PROXY"


@dataclass(frozen=True)
class Case:
    """A sign-in to examine.

    :param about: what names the identity: its name in messages.
    :param identity: who to sign in as, or None where ``identity_problem`` says why that is unknown.
    :param deployment: where the federated token is, where it is sent, and what Airflow's options say; a field that
        cannot be known has a problem there.
    :param resource: where the identity is found in Azure, if that is known.
    :param is_stock: whether the connection is of the stock type `azure`, as Astro's Environment Manager makes them.
    """

    about: str
    environment: Mapping[str, str]
    identity: WorkloadIdentity | None
    identity_problem: str | None
    deployment: Deployment
    resource: IdentityResource | None
    is_stock: bool = False

    @classmethod
    def of(
        cls,
        connection: Any,
        *,
        environment: Mapping[str, str],
        source: str | None = None,
        options: Mapping[str, str] | None = None,
        resource: IdentityResource | None = None,
    ) -> "Case":
        """Gather a case from a connection and an environment. What is wrong with them is part of the case.

        :param connection: a connection of Airflow, or None where the environment alone names the identity.
        :param source: the name of the connection used in messages; ``connection`` and its id unless given.
        :param options: Airflow's options, or None to take those that the environment sets.
        """
        about = source or ("the environment" if connection is None else name_of(connection))
        identity, identity_problem = None, None
        try:
            identity = _identity(connection, environment, about)
        except IdentityError as error:
            identity_problem = str(error)
        return cls(
            about=about,
            environment=environment,
            identity=identity,
            identity_problem=identity_problem,
            deployment=Deployment.with_problems(environment, options or _options_in(environment)),
            resource=resource or _resource_in(connection),
            is_stock=connection is not None and is_stock_workload_identity(connection),
        )

    @property
    def token_file_problem(self) -> str | None:
        """Why the file of the federated token is unknown, if it is."""
        return self.deployment.problems.get("token_file")

    @property
    def authority_problem(self) -> str | None:
        """Why the host that exchanges the token is unknown, if it is."""
        return self.deployment.problems.get("authority_host")

    @property
    def options_problem(self) -> str | None:
        """What is wrong with Airflow's options otherwise, if anything is."""
        others = self.deployment.problems.keys() - {"token_file", "authority_host"}
        return "\n".join(self.deployment.problems[name] for name in sorted(others)) or None

    @property
    def cloud(self) -> Cloud:
        """The cloud of the identity, or the public one while that is unknown."""
        return self.identity.cloud if self.identity else PUBLIC

    @property
    def authority_host(self) -> str:
        """The https URL that exchanges the token."""
        return self.deployment.authority_host_for(self.cloud)

    @property
    def development_credential(self) -> str | None:
        """How a developer signs in here instead of the identity, if so."""
        return None if self.token_file_problem else self.deployment.development_credential_in_use()

    @property
    def token_proxy(self) -> str | None:
        """The proxy of AKS identity bindings that exchanges go to instead of the authority host, if they do."""
        return self.environment.get(_TOKEN_PROXY) or None if self.deployment.identity_binding else None


def _options_in(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {name: environment.get(option_variable(name), "") for name in OPTIONS}


def _identity(connection: Any, environment: Mapping[str, str], about: str) -> WorkloadIdentity:
    if connection is None:
        return WorkloadIdentity.from_extra(None, source=about, environment=environment)
    return identity_from_connection(connection, environment=environment, source=about)


def _resource_in(connection: Any) -> IdentityResource | None:
    """Return where the identity is, if the connection holds all that ``az identity show`` prints."""
    resource_id = None if connection is None else extra_of_connection(connection).get("id")
    return IdentityResource.from_resource_id(resource_id) if isinstance(resource_id, str) else None
