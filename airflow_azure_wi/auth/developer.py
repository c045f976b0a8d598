"""A laptop: the developer signs in, where the deployment allows for it and there is no federated token.

It is never a silent substitute: the first access token is announced with the account that it is for, and where a
federated token file exists, the token exchange is made and nothing else.
"""

import logging
from collections.abc import Collection
from typing import Any

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError
from azure.identity import AzureCliCredential, AzureDeveloperCliCredential, EnvironmentCredential

from airflow_azure_wi.auth.exchange import describe_users
from airflow_azure_wi.auth.token_cache import Exchange, TokenRequest
from airflow_azure_wi.deployment import DEVELOPMENT_OPTION, Deployment
from airflow_azure_wi.entra_errors import entra_error_code
from airflow_azure_wi.errors import TokenExchangeError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import DEVELOPMENT_CREDENTIALS
from airflow_azure_wi.redaction import excerpt, quoted
from airflow_azure_wi.tokens import account_in

logger = logging.getLogger(__name__)

# The Azure CLI takes seconds to start, and longer on a busy laptop.
_CLI_SECONDS = 50


class DeveloperSignIn:
    """Gets access tokens as the developer, in the tenant of an identity.

    :param identity: who would sign in where a workload runs.
    :param deployment: which of azure-identity's credentials to use, and where no federated token is.
    :param users: who uses the identity, by the names used in messages; it may grow later.
    :param otherwise: the token exchange, which is made as soon as there is a federated token file.
    """

    def __init__(
        self,
        identity: WorkloadIdentity,
        deployment: Deployment,
        users: Collection[str],
        otherwise: Exchange[AccessTokenInfo],
    ) -> None:
        self._identity = identity
        self._deployment = deployment
        self._users = users
        self._otherwise = otherwise
        self._credential: Any = None
        self._is_announced = False

    def __call__(self, request: TokenRequest) -> AccessTokenInfo:
        """Get a new access token; blocks while azure-identity gets it.

        :raises TokenExchangeError: if the developer is not signed in.
        """
        name = self._deployment.development_credential_in_use()
        if name is None:
            return self._otherwise(request)
        # The tenant is named in each request, because EnvironmentCredential knows only that of its own variables.
        options = TokenRequestOptions(tenant_id=self._identity.tenant_id, enable_cae=request.enable_cae)
        if request.claims:
            options["claims"] = request.claims
        try:
            self._credential = self._credential or self._new_credential(name)
            token: AccessTokenInfo = self._credential.get_token_info(*request.scopes, options=options)
        except (AzureError, ValueError) as error:
            failure = self._refused(error, request, name)
        else:
            return token
        # Here, so that it is not chained to one whose frames hold what a command printed.
        raise failure

    def announce(self, request: TokenRequest, token: AccessTokenInfo) -> None:
        """Say in the log that there is a new access token, the first time with whose it is."""
        name = self._deployment.development_credential_in_use()
        if name is None:
            self._otherwise.announce(request, token)
        elif not self._is_announced:
            self._is_announced = True
            logger.warning(
                "%s: there is no federated token file %s, and %s = %s: signed in as %s with azure-identity's %s, not "
                "as the managed identity",
                describe_users(self._users, self._identity),
                str(self._deployment.token_file),
                DEVELOPMENT_OPTION,
                name,
                excerpt(account_in(token.token)),
                DEVELOPMENT_CREDENTIALS[name],
            )

    def overdue(self, request: TokenRequest) -> Exception:
        """Return the error for an exchange that hangs."""
        return self._otherwise.overdue(request)

    def start_over(self) -> None:
        """Drop the HTTP session: after a fork, its sockets are the parent's."""
        self._credential = None
        self._otherwise.start_over()

    def _new_credential(self, name: str) -> Any:
        tenant = self._identity.tenant_id
        if name == "azure_cli":
            return AzureCliCredential(tenant_id=tenant, process_timeout=_CLI_SECONDS)
        if name == "azure_developer_cli":
            return AzureDeveloperCliCredential(tenant_id=tenant, process_timeout=_CLI_SECONDS)
        return EnvironmentCredential(
            authority=self._deployment.authority_host_for(self._identity.cloud),
            # The authority host is set by the deployment: there is nothing to discover.
            disable_instance_discovery=True,
            additionally_allowed_tenants=[tenant],
        )

    def _refused(self, error: Exception, request: TokenRequest, name: str) -> TokenExchangeError:
        answer = error.message if isinstance(error, AzureError) else str(error)
        return TokenExchangeError(
            connection=describe_users(self._users, self._identity),
            scope=excerpt(" ".join(request.scopes)),
            cause=f"there is no federated token file {quoted(str(self._deployment.token_file), longest=1000)}, and "
            f"{DEVELOPMENT_OPTION} = {name}: azure-identity's {DEVELOPMENT_CREDENTIALS[name]} was asked instead.",
            next_step=_NEXT_STEPS[name].format(tenant=self._identity.tenant_id),
            code=entra_error_code(answer),
            answer=excerpt(answer),
        )


_NEXT_STEPS = {
    "azure_cli": "run `az login --tenant {tenant}` where the task runs.",
    "azure_developer_cli": "run `azd auth login --tenant-id {tenant}` where the task runs.",
    "environment": "set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH) "
    "where the task runs, of an application that is known in the tenant {tenant}.",
}
