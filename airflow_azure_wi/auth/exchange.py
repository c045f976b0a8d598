"""The token exchange: this workload's federated token for an access token of a managed identity or application."""

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.identity import ClientAssertionCredential, WorkloadIdentityCredential

from airflow_azure_wi import tokens
from airflow_azure_wi.auth import identity_binding
from airflow_azure_wi.auth.token_cache import LONGEST_EXCHANGE_SECONDS, TokenRequest, is_renewal_due
from airflow_azure_wi.auth.transport import token_transport, until
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.endpoints import PROXY_CANNOT_BE_PARSED
from airflow_azure_wi.entra_errors import EXPLANATIONS, Fix, Retry, entra_error_code
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError, WorkloadIdentityError, names_of
from airflow_azure_wi.federation import FederatedIdentityCredential, audience_to_expect
from airflow_azure_wi.federation.az import link_command
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.redaction import escaped, excerpt, quoted
from airflow_azure_wi.tokens import FederatedToken

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse

    from airflow_azure_wi.auth.disk_cache import DiskCache

logger = logging.getLogger(__name__)

# Entra answers in a fraction of a second; these bound what a task waits for when it does not.
CONNECTION_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 10.0
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0

# All attempts and pauses. Sooner than those who wait give up, so that the error says what happened.
TOTAL_SECONDS = LONGEST_EXCHANGE_SECONDS - 5

# How long a process waits for another's exchange, before it makes its own in what is left.
LONGEST_TURN_SECONDS = 30.0

_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_OUTSIDE_ITS_TIME_RANGE = "AADSTS700024"
# Of an error, what is the same for each process; the last one is all there is where the token file is no good.
_SHARED_FIELDS = ("cause", "next_step", "command", "code", "claims", "answer", "token_file")
_LONGEST_LIFETIME_SECONDS = 10 * 365 * 86400


@dataclass(frozen=True)
class _Failure:
    """Why an attempt gave no access token. It holds no token and no exception, whose frames would hold one.

    :param answer: what was answered, or why nothing was, to be shown.
    :param status: the HTTP status, or None where nobody answered.
    :param is_reached: whether the authority host was asked at all.
    """

    answer: str
    code: str | None = None
    status: int | None = None
    retry_after: str | None = None
    is_reached: bool = True
    is_valid: bool = True

    @property
    def retry(self) -> Retry:
        """Whether another attempt may help."""
        if not self.is_reached or self.status in _TRANSIENT_STATUSES:
            return Retry.TRANSIENT
        explanation = EXPLANATIONS.get(self.code or "")
        return explanation.retry if explanation else Retry.NEVER

    def seconds_to_wait(self, pause: float) -> float:
        """Return how long to wait before another attempt: what the server says, or else a pause."""
        try:
            asked = float(self.retry_after or pause)
        except ValueError:
            return pause
        return pause if math.isnan(asked) else max(asked, 0.0)


class TokenExchange:
    """Exchanges federated tokens for access tokens of an identity.

    Each attempt has a credential of azure-identity of its own, which holds the federated token that was just read from
    the file, so that a rotated one is never presented: azure-identity's ``WorkloadIdentityCredential`` keeps what it
    read for ten minutes (https://github.com/Azure/azure-sdk-for-python/issues/44488).

    :param identity: who to sign in as.
    :param deployment: where the federated token is, and where it is sent.
    :param users: the connections that use the identity, by their names in messages; it may grow later.
    """

    def __init__(
        self,
        identity: WorkloadIdentity,
        deployment: Deployment,
        users: Collection[str],
    ) -> None:
        self._identity = identity
        self._deployment = deployment
        self._users = users
        self._disk = _disk_cache(identity, deployment)
        self.start_over()

    def __call__(self, request: TokenRequest) -> AccessTokenInfo:
        """Get an access token: a new one, or the one that another process on this machine has just got.

        :raises TokenExchangeError: if Entra refuses, cannot be reached or cannot be understood.
        :raises FederatedTokenError: if there is no usable federated token.
        :raises DeploymentError: if identity bindings are asked for and cannot be used.
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        if self._disk is None:
            return self._exchange(request, deadline)
        with self._disk.exclusively(request, seconds=LONGEST_TURN_SECONDS) as turn:
            known = self._disk.get(request)
            if known is not None and not is_renewal_due(known, time.time()):
                return known
            if turn.failure is not None:
                raise self._failure_of_another(turn.failure, request)
            try:
                token = self._exchange(request, deadline)
            except (TokenExchangeError, FederatedTokenError) as error:
                if known is None:
                    turn.failed(_as_text(error))
                    raise
                return known
            self._disk.put(request, token)
            return token

    def announce(self, request: TokenRequest, token: AccessTokenInfo) -> None:
        """Say in the log that there is a new access token."""
        minutes = max(token.expires_on - time.time(), 0) / 60
        resource = " ".join(scope.removesuffix("/.default") for scope in request.scopes)
        logger.info(
            "Got an access token for %s as client id %s, valid for %.0f min",
            excerpt(resource),
            self._identity.client_id,
            minutes,
        )

    def overdue(self, request: TokenRequest) -> TokenExchangeError:
        """Return the error for an exchange that hangs."""
        return self._error(
            request,
            cause=f"the token exchange with {self._authority} has not ended within {LONGEST_EXCHANGE_SECONDS:.0f} s.",
            next_step="let the task be retried; check DNS, firewall and proxy (HTTPS_PROXY) from where the task runs.",
        )

    def start_over(self) -> None:
        """Drop the pool of connections: after a fork, its sockets are the parent's."""
        self._transport = token_transport(
            connection_timeout=CONNECTION_TIMEOUT_SECONDS, read_timeout=READ_TIMEOUT_SECONDS
        )
        self._is_binding_checked = False

    @property
    def _authority(self) -> str:
        return self._deployment.authority_host_for(self._identity.cloud)

    def _exchange(self, request: TokenRequest, deadline: float) -> AccessTokenInfo:
        """Exchange, more than once where that may help, reading the federated token again each time."""
        self._check_identity_binding()
        pause = FIRST_PAUSE_SECONDS
        failures: list[_Failure] = []
        while True:
            presented = self._read_federated_token()
            outcome = self._attempt(request, presented, deadline)
            if not isinstance(outcome, _Failure):
                return outcome
            wait = outcome.seconds_to_wait(pause)
            is_too_long = wait > LONGEST_PAUSE_SECONDS or time.monotonic() + wait >= deadline
            if is_too_long or not self._is_worth_another(outcome, failures, presented):
                break
            failures.append(outcome)
            time.sleep(wait)
            pause *= 2
        raise self._error_for(outcome, request, presented, len(failures) + 1)

    def _check_identity_binding(self) -> None:
        if self._deployment.identity_binding and not self._is_binding_checked:
            identity_binding.check(os.environ)
            self._is_binding_checked = True

    def _read_federated_token(self) -> FederatedToken:
        try:
            return tokens.read_current(self._deployment.token_file, named_by=self._deployment.token_file_named_by)
        except FederatedTokenError as error:
            found = str(error)
        raise FederatedTokenError(f"{self._who()}: {found}")

    def _is_worth_another(self, failure: _Failure, before: Sequence[_Failure], presented: FederatedToken) -> bool:
        """Whether another attempt may help."""
        if len(before) + 1 >= ATTEMPTS or failure.retry is Retry.NEVER:
            return False
        if failure.code == _OUTSIDE_ITS_TIME_RANGE and self._read_federated_token().value == presented.value:
            return False  # Only a rotated token can help.
        return failure.retry is Retry.TRANSIENT or failure.code not in [known.code for known in before]

    def _attempt(
        self, request: TokenRequest, presented: FederatedToken, deadline: float
    ) -> "AccessTokenInfo | _Failure":
        options = TokenRequestOptions(enable_cae=request.enable_cae)
        if request.claims:
            options["claims"] = request.claims
        answers: list[str] = []
        try:
            with until(deadline), _quietly():
                token = self._credential(presented, answers).get_token_info(*request.scopes, options=options)
        except (ServiceRequestError, ServiceResponseError) as error:
            return _Failure(_why_not_reached(error), is_reached=False)
        except AzureError as error:
            return _refusal(error, answers)
        except Exception as error:  # noqa: BLE001 - whatever it is that the response, or the environment, made of it
            return _Failure(answers[-1], is_valid=False) if answers else _not_sent(error)
        if _is_usable(token):
            return token
        return _Failure(answers[-1] if answers else "", is_valid=False)

    def _credential(self, presented: FederatedToken, answers: list[str]) -> ClientAssertionCredential:
        options: dict[str, Any] = {
            "tenant_id": self._identity.tenant_id,
            "client_id": self._identity.client_id,
            "authority": self._authority,
            # Repeated here, and not by azure-core: with the token that the file holds then, and an end.
            "retry_total": 0,
            "raw_response_hook": _answer_checker(answers),
            "logger": _http_logger,
        }
        if self._deployment.identity_binding:
            path = str(self._deployment.token_file)
            return WorkloadIdentityCredential(
                token_file_path=path,
                enable_azure_proxy=True,
                connection_timeout=CONNECTION_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                **options,
            )
        return ClientAssertionCredential(func=lambda: presented.value, transport=self._transport, **options)

    def _who(self) -> str:
        users = names_of(self._users) or "a workload identity"
        return f"{users} (client id {self._identity.client_id}, tenant {self._identity.tenant_id})"

    def _error_for(
        self, failure: _Failure, request: TokenRequest, presented: FederatedToken, attempts: int
    ) -> TokenExchangeError:
        explanation = EXPLANATIONS.get(failure.code or "")
        if not failure.is_reached:
            cause, next_step = _unreachable(self._authority, attempts)
        elif explanation:
            cause, next_step = explanation.cause, explanation.next_step
        else:
            cause, next_step = _unexplained(failure)
        wants_credential = explanation is not None and explanation.fix is Fix.CREATE_CREDENTIAL
        return self._error(
            request,
            cause=cause,
            next_step=next_step,
            command=self._command(presented) if wants_credential else None,
            code=failure.code,
            claims=self._claims(presented, failure) if failure.is_reached else None,
            answer=failure.answer,
        )

    def _claims(self, presented: FederatedToken, failure: _Failure) -> str:
        when = f", {presented.validity()}" if failure.code == _OUTSIDE_ITS_TIME_RANGE else ""
        return f"{presented.describe_claims()}{when}, from {quoted(str(self._deployment.token_file), longest=1000)}"

    def _failure_of_another(self, text: str, request: TokenRequest) -> WorkloadIdentityError:
        """Return the failure of the process that this one waited for, as its own."""
        fields = _shared_fields(text)
        if "token_file" in fields:
            return FederatedTokenError(f"{self._who()}: {fields['token_file']}")
        if "cause" in fields and "next_step" in fields:
            return self._error(request, **fields)
        cause = f"another process of this machine, which made the exchange, failed: {excerpt(text)}"
        return self._error(request, cause=cause, next_step="let the task be retried.")

    def _error(self, request: TokenRequest, **fields: Any) -> TokenExchangeError:
        return TokenExchangeError(connection=self._who(), scope=excerpt(" ".join(request.scopes)), **fields)

    def _command(self, presented: FederatedToken) -> str | None:
        """Return the command that makes Entra accept the federated token, if such a credential can be."""
        identity = self._identity
        audience = audience_to_expect(presented.audience, identity.cloud.token_exchange_audience)
        credential = FederatedIdentityCredential.of(presented.issuer, presented.subject, audience or "")
        if any(credential.problems()):
            return None
        return link_command(
            credential, client_id=identity.client_id, subscription_id=identity.subscription_id, may_exist=True
        )


def _disk_cache(identity: WorkloadIdentity, deployment: Deployment) -> "DiskCache | None":
    if deployment.token_cache_folder is None:
        return None
    from airflow_azure_wi.auth.disk_cache import DiskCache

    # The token file belongs to it: a workload that Entra would refuse finds no token of another.
    authority = deployment.authority_host_for(identity.cloud)
    parts = (identity.client_id, identity.tenant_id, authority, str(deployment.token_file))
    return DiskCache(deployment.token_cache_folder, "|".join(parts))


def _as_text(error: TokenExchangeError | FederatedTokenError) -> str:
    """Return a failure as other processes are told it."""
    if isinstance(error, TokenExchangeError):
        return json.dumps(error.fields())
    return json.dumps({"token_file": str(error).partition(": ")[2]})


def _shared_fields(text: str) -> dict[str, Any]:
    """Return what another process of this user wrote of its failure, as far as it makes sense."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    known = found if isinstance(found, dict) else {}
    return {
        name: "\n".join(map(escaped, known[name].split("\n")))
        for name in _SHARED_FIELDS
        if isinstance(known.get(name), str)
    }


def _not_sent(error: Exception) -> _Failure:
    return _Failure(excerpt(f"{type(error).__name__}: {error}"))


def _refusal(error: AzureError, answers: list[str]) -> _Failure:
    response = getattr(error, "response", None)
    if response is None and answers:
        return _Failure(answers[-1], is_valid=False)
    if response is None:
        return _not_sent(error)
    return _Failure(
        excerpt(error.message),
        code=entra_error_code(error.message),
        status=response.status_code,
        retry_after=response.headers.get("Retry-After"),
        is_valid=response.status_code >= 400,
    )


def _answer_checker(answers: list[str]) -> "Callable[[PipelineResponse[Any, Any]], None]":
    """Return what looks at each answer first: azure-identity takes a gateway's page for a token response.

    :param answers: what is answered is added to it, to be shown.
    """

    def check(response: "PipelineResponse[Any, Any]") -> None:
        answer = response.http_response
        text = f"HTTP {answer.status_code} {answer.reason}: {answer.text()}"
        answers.append(excerpt(text))
        try:
            is_object = isinstance(json.loads(answer.text()), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise ClientAuthenticationError(message=answers[-1], response=answer)

    return check


def _is_usable(token: AccessTokenInfo) -> bool:
    """Return whether a token response made sense: azure-identity takes anything for a token, and any time."""
    seconds_left = token.expires_on - time.time()
    return bool(isinstance(token.token, str) and token.token and 0 < seconds_left < _LONGEST_LIFETIME_SECONDS)


def _why_not_reached(error: AzureError) -> str:
    # The URL of the authority host was checked when the deployment was read.
    is_of_proxy = isinstance(error.inner_exception, requests.exceptions.InvalidURL)
    return PROXY_CANNOT_BE_PARSED if is_of_proxy else excerpt(error.message)


def _unreachable(authority: str, attempts: int) -> tuple[str, str]:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return (
        f"the authority host {authority} could not be reached, after {tries}.",
        "check DNS, firewall and proxy (HTTPS_PROXY) from where the task runs; behind a TLS-inspecting proxy, set "
        "REQUESTS_CA_BUNDLE to its certificate authority.",
    )


def _unexplained(failure: _Failure) -> tuple[str, str]:
    """Return the cause and the next step of a failure whose code says nothing, or that has none."""
    status = f"(HTTP {failure.status})"
    if failure.status == 429:
        wait = f", and asks to wait {excerpt(failure.retry_after)} s" if failure.retry_after else ""
        return (
            f"Microsoft Entra ID throttled the request {status}{wait}.",
            "let the task be retried later. [azure_workload_identity] token_cache = disk lets the tasks of a machine "
            "share one exchange.",
        )
    if failure.status in _TRANSIENT_STATUSES or (failure.status or 0) >= 500:
        return (
            f"Microsoft Entra ID returned a server error {status}.",
            "let the task be retried later; if it stays, see https://status.azure.com.",
        )
    if failure.code:
        number = failure.code.removeprefix("AADSTS")
        return (
            f"Microsoft Entra ID refused the request {status}.",
            f"look the code up at https://login.microsoftonline.com/error?code={number}.",
        )
    if failure.status is None and failure.is_valid:
        return (
            "azure-identity could not send the token request.",
            "check what it takes from the environment: HTTPS_PROXY, REQUESTS_CA_BUNDLE, and the AZURE_KUBERNETES_ "
            "variables of identity bindings. What it found is below.",
        )
    return (
        f"Microsoft Entra ID refused the request {status}."
        if failure.is_valid
        else "Microsoft Entra ID returned an invalid token response.",
        "check that the authority host is Microsoft Entra ID's (AZURE_AUTHORITY_HOST, cloud_environment), and that no "
        "proxy answers in its place.",
    )


# What azure-core and azure-identity log of an exchange: a dozen lines of HTTP, and all that was answered in a refusal.
# The task's log has one line for each exchange, and the error; the rest is for those who look for it with DEBUG.
_http_logger = logging.getLogger(f"{__name__}.http")
_exchanging = threading.local()


@contextmanager
def _quietly() -> Iterator[None]:
    _exchanging.is_quiet = True
    try:
        yield
    finally:
        _exchanging.is_quiet = False


def _is_wanted(record: logging.LogRecord) -> bool:
    return not getattr(_exchanging, "is_quiet", False) or logger.isEnabledFor(logging.DEBUG)


for _name in (_http_logger.name, "azure.identity._internal.get_token_mixin", "azure.identity._internal.decorators"):
    logging.getLogger(_name).addFilter(_is_wanted)
