"""The token exchange: a client assertion, had afresh, for an access token of a managed identity or application."""

import logging
import os
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import WorkloadIdentityCredential

from airflow_azure_wi import federated_token
from airflow_azure_wi.auth import identity_binding
from airflow_azure_wi.auth.token_cache import TokenRequest, is_renewal_due
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.entra_errors import EXPLANATIONS, entra_error_code
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError
from airflow_azure_wi.federated_token import FederatedToken
from airflow_azure_wi.identity import WorkloadIdentity

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse

    from airflow_azure_wi.auth.disk_cache import DiskCache

logger = logging.getLogger(__name__)

# Entra answers in a fraction of a second; these bound what a task waits for when it does not.
CONNECTION_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 10
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
# Longer than an exchange with all its attempts takes; whoever waits longer for another process makes its own.
LONGEST_TURN_SECONDS = 60.0

_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_OUTSIDE_ITS_TIME_RANGE = "AADSTS700024"

# What azure-identity raises where an answer is no token response at all.
_NOT_UNDERSTOOD = (TypeError, ValueError, KeyError, AttributeError)


class TokenExchange:
    """Exchanges client assertions for access tokens of an identity.

    :param identity: who to sign in as.
    :param deployment: where client assertions are sent.
    :param users: who uses the identity, as messages shall name it; it may grow later.
    """

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment, users: Collection[str]) -> None:
        self._identity = identity
        self._deployment = deployment
        self._users = users
        self._means: _Means | None = None

    def __call__(self, request: TokenRequest) -> AccessTokenInfo:
        """Get a new access token; blocks for the time of the exchange.

        :raises TokenExchangeError: if Entra refuses, cannot be reached or cannot be understood.
        :raises FederatedTokenError: if there is no usable federated token.
        :raises DeploymentError: if identity bindings are asked for and cannot be used.
        """
        means = self._means = self._means or _Means.of(self._identity, self._deployment)
        if means.disk is None:
            return self._exchange(means.credential, request)
        with means.disk.exclusively(request, seconds=LONGEST_TURN_SECONDS) as turn:
            found = means.disk.get(request)
            if found is not None and not is_renewal_due(found, time.time()):
                return found
            if turn.failure is not None:
                raise TokenExchangeError(turn.failure, entra_error_code(turn.failure))
            try:
                token = self._exchange(means.credential, request)
            except (TokenExchangeError, FederatedTokenError) as error:
                turn.failed(str(error))
                raise
            means.disk.put(request, token)
            return token

    def _exchange(self, credential: "_FreshAssertionCredential", request: TokenRequest) -> AccessTokenInfo:
        try:
            return self._with_retries(credential, request)
        except FederatedTokenError as error:
            raise FederatedTokenError(f"{self._who()}: {error}") from None
        except (ServiceRequestError, ServiceResponseError) as error:
            raise TokenExchangeError(self._unreachable(error, request)) from error
        except (AzureError, *_NOT_UNDERSTOOD) as error:
            # Not chained: what azure-core prints of it may quote a response with a token in it.
            raise self._refused(error, request, credential.presented) from None

    def start_over(self) -> None:
        """Drop the HTTP session: after a fork, its sockets are the parent's."""
        self._means = None

    def _with_retries(self, credential: "_FreshAssertionCredential", request: TokenRequest) -> AccessTokenInfo:
        """Exchange, more than once where that may help, reading the federated token anew each time."""
        options = TokenRequestOptions(enable_cae=request.enable_cae)
        if request.claims:
            options["claims"] = request.claims
        if request.tenant_id:
            options["tenant_id"] = request.tenant_id
        pause = FIRST_PAUSE_SECONDS
        last_code = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return credential.get_token_info(*request.scopes, options=options)
            except AzureError as error:
                code = entra_error_code(error.message)
                was_rotated_meanwhile = code == _OUTSIDE_ITS_TIME_RANGE and last_code != code
                wait = 0.0 if was_rotated_meanwhile else _seconds_to_wait(error, pause)
                if wait is None or attempt == ATTEMPTS:
                    raise
                last_code = code
                logger.info("Token exchange failed, trying again in %.1f s: %s", wait, error.message)
            time.sleep(wait)
            pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _who(self) -> str:
        users = ", ".join(self._users) or "a workload identity"
        return f"{users} (client id {self._identity.client_id}, tenant {self._identity.tenant_id})"

    def _unreachable(self, error: AzureError, request: TokenRequest) -> str:
        host = self._deployment.authority_host_for(self._identity.cloud)
        return (
            f"{self._who()}: the authority host {host} could not be reached for scope {' '.join(request.scopes)}, "
            f"after {ATTEMPTS} attempts.\n"
            f"Found: {error.message}\n"
            "Next step: check DNS, firewall and proxy (HTTPS_PROXY) from where the task runs; behind a proxy that "
            "opens TLS, set REQUESTS_CA_BUNDLE to its certificate authority."
        )

    def _refused(self, error: Exception, request: TokenRequest, presented: FederatedToken | None) -> TokenExchangeError:
        answer = error.message if isinstance(error, AzureError) else f"{type(error).__name__}: {error}"
        code = entra_error_code(answer)
        explanation = EXPLANATIONS.get(code or "")
        lines = [
            f"{self._who()}: no access token for scope {' '.join(request.scopes)}.",
            explanation.cause if explanation else f"Microsoft Entra ID {_how_it_answered(error)}.",
        ]
        if presented is not None:
            lines.append(f"Federated token: {presented.described()}, from {str(self._deployment.token_file)!r}.")
        lines.append(f"Next step: {explanation.next_step if explanation else _next_step(code, error)}")
        lines.append(f"Answer: {answer}")
        return TokenExchangeError("\n".join(lines), code)


class _Means(NamedTuple):
    """What exchanges are made with, in one process."""

    credential: "_FreshAssertionCredential"
    disk: "DiskCache | None"

    @classmethod
    def of(cls, identity: WorkloadIdentity, deployment: Deployment) -> "_Means":
        if deployment.token_cache_folder is None:
            return cls(_FreshAssertionCredential(identity, deployment), None)
        from airflow_azure_wi.auth.disk_cache import DiskCache

        authority = deployment.authority_host_for(identity.cloud)
        name = f"{identity.client_id}|{identity.tenant_id}|{authority}|{deployment.token_file}"
        return cls(_FreshAssertionCredential(identity, deployment), DiskCache(deployment.token_cache_folder, name))


class _FreshAssertionCredential(WorkloadIdentityCredential):
    """azure-identity's credential, but with a client assertion that is had afresh for every exchange.

    azure-identity 1.27 keeps what it read for ten minutes, and presents it after it was rotated:
    https://github.com/Azure/azure-sdk-for-python/issues/44488.
    """

    def __init__(self, identity: WorkloadIdentity, deployment: Deployment, **options: Any) -> None:
        if deployment.identity_binding:
            identity_binding.check(os.environ)
            options["enable_azure_proxy"] = True
        super().__init__(
            tenant_id=identity.tenant_id,
            client_id=identity.client_id,
            token_file_path=str(deployment.token_file),
            authority=deployment.authority_host_for(identity.cloud),
            connection_timeout=CONNECTION_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            # A repeated request would present the assertion again, rotated or not, and wait for as long as a
            # Retry-After says. TokenExchange repeats whole exchanges instead.
            retry_total=0,
            raw_response_hook=_refuse_what_is_no_json,
            **options,
        )
        self._deployment = deployment
        self.presented: FederatedToken | None = None

    def _get_service_account_token(self) -> str:
        self.presented = None
        self.presented = federated_token.read_current(
            self._deployment.token_file, named_by=self._deployment.token_file_named_by
        )
        return self.presented.value


def _refuse_what_is_no_json(response: "PipelineResponse[Any, Any]") -> None:
    """Tell a gateway's page, or an empty answer, by its status.

    azure-identity reads it as a token response, and what it then raises says nothing of the status.

    :raises ClientAuthenticationError: if it is one.
    """
    answer = response.http_response
    if answer.status_code in _TRANSIENT_STATUSES and "json" not in answer.headers.get("Content-Type", ""):
        raise ClientAuthenticationError(
            message=f"HTTP {answer.status_code} {answer.reason}: {answer.text()[:200]!r}", response=answer
        )


def _seconds_to_wait(error: AzureError, pause: float) -> float | None:
    """Return how long to wait before another attempt, in seconds, or None where another would not help."""
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return pause
    if _status(error) not in _TRANSIENT_STATUSES:
        return None
    wait = _seconds(_retry_after(error), pause)
    return wait if wait <= LONGEST_PAUSE_SECONDS else None


def _seconds(header: str | None, default: float) -> float:
    try:
        return max(float(header or default), 0.0)
    except ValueError:
        return default


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else response.status_code


def _retry_after(error: Exception) -> str | None:
    response = getattr(error, "response", None)
    return None if response is None else response.headers.get("Retry-After")


def _how_it_answered(error: Exception) -> str:
    status = _status(error)
    if status == 429:
        wait = _retry_after(error)
        return "asks for fewer requests (HTTP 429)" + (f", and to wait {wait} s" if wait else "")
    if status is not None and status >= 500:
        return f"has a failure of its own (HTTP {status})"
    if status is not None and status >= 400:
        return f"refused (HTTP {status})"
    return "gave an answer that is no token response"


def _next_step(code: str | None, error: Exception) -> str:
    if code:
        return f"look the code up at https://login.microsoftonline.com/error?code={code.removeprefix('AADSTS')}."
    if _status(error) in _TRANSIENT_STATUSES:
        return "let the task be retried later; if it stays, see https://status.azure.com."
    return (
        "check that the authority host is Microsoft Entra ID's (AZURE_AUTHORITY_HOST, cloud_environment), and that "
        "no proxy answers in its place."
    )
