"""What is examined: which identity signs in, as far as that is known, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_azure_wi.clouds import PUBLIC, Cloud
from airflow_azure_wi.deployment import CONFIG_SECTION, Deployment, Options
from airflow_azure_wi.errors import DeploymentError, IdentityError
from airflow_azure_wi.federation.credentials import IdentityResource
from airflow_azure_wi.identity import (
    WorkloadIdentity,
    extra_of_connection,
    identity_from_connection,
    is_stock_workload_identity,
    name_of,
)

_AUTHORITY_HOST = "AZURE_AUTHORITY_HOST"
_TOKEN_PROXY = "AZURE_KUBERNETES_TOKEN_PROXY"


@dataclass(frozen=True)
class Case:
    """A sign-in to examine.

    :param about: what names the identity: its name in messages.
    :param identity: who to sign in as, or None where ``identity_problem`` says why that is unknown.
    :param deployment: where the federated token is, unless ``token_file_problem`` says that this cannot be known;
        where it is sent, unless ``authority_problem`` does; and what Airflow's options say, unless
        ``options_problem`` does.
    :param resource: where the identity is found in Azure, if that is known.
    :param is_stock: whether the connection is of the stock type `azure`, as Astro's Environment Manager makes them.
    """

    about: str
    environment: Mapping[str, str]
    identity: WorkloadIdentity | None
    identity_problem: str | None
    deployment: Deployment
    token_file_problem: str | None
    authority_problem: str | None
    options_problem: str | None
    resource: IdentityResource | None
    is_stock: bool = False

    @classmethod
    def of(
        cls,
        connection: Any,
        *,
        environment: Mapping[str, str],
        source: str | None = None,
        options: Options | None = None,
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
        where, authority = dict(environment), {_AUTHORITY_HOST: environment.get(_AUTHORITY_HOST, "")}
        where.pop(_AUTHORITY_HOST, None)
        # One after the other, so that a problem of one leaves the other to be examined.
        options = options or _options_in(environment)
        of_token_file, token_file_problem = _deployment(where, Options(options.federated_token_file))
        of_authority, authority_problem = _deployment(authority, Options())
        of_options, options_problem = _deployment({}, options)
        return cls(
            about=about,
            environment=environment,
            identity=identity,
            identity_problem=identity_problem,
            deployment=replace(
                of_options,
                token_file=of_token_file.token_file,
                token_file_named_by=of_token_file.token_file_named_by,
                authority_host=of_authority.authority_host,
            ),
            token_file_problem=token_file_problem,
            authority_problem=authority_problem,
            options_problem=options_problem,
            resource=resource or _resource_in(connection),
            is_stock=connection is not None and is_stock_workload_identity(connection),
        )

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


def _options_in(environment: Mapping[str, str]) -> Options:
    names = {name: f"AIRFLOW__{CONFIG_SECTION}__{name}".upper() for name in Options._fields}
    return Options(**{name: environment.get(variable, "") for name, variable in names.items()})


def _deployment(environment: Mapping[str, str], options: Options) -> tuple[Deployment, str | None]:
    try:
        return Deployment.of(environment, options), None
    except DeploymentError as error:
        return Deployment.of({}), str(error)


def _identity(connection: Any, environment: Mapping[str, str], about: str) -> WorkloadIdentity:
    if connection is None:
        return WorkloadIdentity.from_extra(None, source=about, environment=environment)
    return identity_from_connection(connection, environment=environment, source=about)


def _resource_in(connection: Any) -> IdentityResource | None:
    """Return where the identity is, if the connection holds all that ``az identity show`` prints."""
    resource_id = None if connection is None else extra_of_connection(connection).get("id")
    return IdentityResource.from_resource_id(resource_id) if isinstance(resource_id, str) else None
