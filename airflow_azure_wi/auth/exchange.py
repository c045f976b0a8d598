"""The token exchange: this workload's federated token for an access token of a managed identity or application."""

import json
import logging
import os
import time
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.identity import ClientAssertionCredential, WorkloadIdentityCredential

from airflow_azure_wi.auth import metrics
from airflow_azure_wi.auth.token_cache import LONGEST_EXCHANGE_SECONDS, Limits, TokenRequest, is_renewal_due
from airflow_azure_wi.auth.transport import (
    answer_checker,
    failure_of,
    http_logger,
    is_usable,
    quietly,
    token_transport,
    until,
)
from airflow_azure_wi.clients import user_agent
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.entra_errors import OUTSIDE_ITS_VALIDITY_PERIOD, Failure, Fix, Kind, Retry
from airflow_azure_wi.errors import (
    DeploymentError,
    FederatedTokenError,
    TokenExchangeError,
    WorkloadIdentityError,
    names_of,
)
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import escaped, excerpt, quoted
from airflow_azure_wi.tokens import FederatedToken, read_federated_token

if TYPE_CHECKING:
    from airflow_azure_wi.auth.disk_cache import DiskCache

logger = logging.getLogger(__name__)

ATTEMPTS = 3
LONGEST_PAUSE_SECONDS = 10.0

# How long a process waits for another's exchange, before it makes its own in what is left.
LONGEST_TURN_SECONDS = 30.0

# Of an error, what is the same for each process; the last one is all there is where the token file is unusable.
_SHARED_FIELDS = ("cause", "next_step", "command", "code", "claims", "answer", "token_file")


class TokenExchange:
    """Exchanges federated tokens for access tokens of an identity.

    Each attempt makes its own credential of azure-identity, which holds the federated token that was just read from the
    file. So a token from before a rotation is never presented: azure-identity's ``WorkloadIdentityCredential`` keeps
    what it read for ten minutes (https://github.com/Azure/azure-sdk-for-python/issues/44488).

    :param identity: who to sign in as.
    :param deployment: where the federated token is, and where it is sent.
    :param users: the connections that use the identity, by their names in messages; it may grow later.
    :param limits: how long an exchange may take.
    """

    def __init__(
        self,
        identity: WorkloadIdentity,
        deployment: Deployment,
        users: Collection[str],
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
    ) -> None:
        self._identity = identity
        self._deployment = deployment
        self._users = users
        self._limits = limits
        self._authority_host = deployment.authority_host_for(identity.cloud)
        self._disk = _disk_cache(identity, deployment)
        self.start_over()

    def __call__(self, request: TokenRequest) -> AccessTokenInfo:
        """Get an access token: a new one, or the one that another process on this machine has just got.

        :raises TokenExchangeError: if Entra refuses, cannot be reached or cannot be understood.
        :raises FederatedTokenError: if there is no usable federated token.
        :raises DeploymentError: if identity bindings are asked for and cannot be used.
        """
        deadline = time.monotonic() + self._limits.exchange_seconds
        if self._disk is None:
            return self._exchange(request, deadline)
        with self._disk.exclusively(request, seconds=LONGEST_TURN_SECONDS) as turn:
            known = self._disk.get(request)
            if known is not None and not is_renewal_due(known, time.time()):
                metrics.note(metrics.DISK_CACHE_HIT)
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
        resource = " ".join(scope.removesuffix("/.default") for scope in request.scopes)
        logger.info(
            "Got an access token for %s as client id %s, valid for %.0f min",
            excerpt(resource),
            self._identity.client_id,
            max(token.expires_on - time.time(), 0) / 60,
        )

    def overdue(self, request: TokenRequest) -> TokenExchangeError:
        """Return the error for an exchange that hangs."""
        return self._error(
            request,
            cause=f"the token exchange with {self._authority_host} has not ended within "
            f"{LONGEST_EXCHANGE_SECONDS:.0f} s.",
            next_step="let the task be retried; check DNS, firewall and proxy (HTTPS_PROXY) from where the task runs.",
        )

    def start_over(self) -> None:
        """Drop the pool of connections: after a fork, its sockets are the parent's."""
        limits = self._limits
        self._transport = token_transport(
            connection_timeout=limits.connection_seconds, read_timeout=limits.read_seconds
        )
        self._is_binding_checked = False

    def _exchange(self, request: TokenRequest, deadline: float) -> AccessTokenInfo:
        """Exchange, more than once where that may help, reading the federated token again each time."""
        if self._deployment.identity_binding and not self._is_binding_checked:
            _check_identity_binding(os.environ)
            self._is_binding_checked = True
        begun = time.monotonic()
        pause = self._limits.first_pause_seconds
        codes: list[str | None] = []
        while True:
            presented = self._read_federated_token()
            outcome = self._attempt(request, presented, deadline)
            if not isinstance(outcome, Failure):
                metrics.note_exchange(None, time.monotonic() - begun)
                return outcome
            wait = outcome.seconds_to_wait(pause)
            is_too_long = wait > LONGEST_PAUSE_SECONDS or time.monotonic() + wait >= deadline
            if is_too_long or not self._is_worth_another(outcome, codes, presented):
                break
            codes.append(outcome.code)
            time.sleep(wait)
            pause *= 2
        metrics.note_exchange(outcome.label, time.monotonic() - begun)
        raise self._refused(request, outcome, presented, len(codes) + 1)

    def _read_federated_token(self) -> FederatedToken:
        try:
            return read_federated_token(
                self._deployment.token_file, named_by=self._deployment.token_file_named_by, must_be_valid=True
            )
        except FederatedTokenError as error:
            found = str(error)
        metrics.note_exchange(metrics.NO_FEDERATED_TOKEN, None)
        raise FederatedTokenError(f"{self._who()}: {found}")

    def _is_worth_another(self, failure: Failure, codes_before: Collection[str | None], sent: FederatedToken) -> bool:
        if len(codes_before) + 1 >= ATTEMPTS or failure.retry is Retry.NEVER:
            return False
        if failure.code == OUTSIDE_ITS_VALIDITY_PERIOD and self._read_federated_token().value == sent.value:
            return False  # Only a rotated token can help.
        return failure.retry is Retry.TRANSIENT or failure.code not in codes_before

    def _attempt(self, request: TokenRequest, presented: FederatedToken, deadline: float) -> AccessTokenInfo | Failure:
        options = TokenRequestOptions(enable_cae=request.enable_cae)
        if request.claims:
            options["claims"] = request.claims
        answers: list[str] = []
        try:
            with until(deadline), quietly():
                token = self._credential(presented, answers).get_token_info(*request.scopes, options=options)
        except Exception as error:  # noqa: BLE001 - whatever azure-identity made of the response, or the environment
            return failure_of(error, answers)
        if is_usable(token):
            return token
        return Failure(Kind.INVALID, answers[-1] if answers else "")

    def _credential(
        self, presented: FederatedToken, answers: list[str]
    ) -> ClientAssertionCredential | WorkloadIdentityCredential:
        options: dict[str, Any] = {
            "tenant_id": self._identity.tenant_id,
            "client_id": self._identity.client_id,
            "authority": self._authority_host,
            # Repeated here, and not by azure-core: with the token that the file holds then, and an end.
            "retry_total": 0,
            "raw_response_hook": answer_checker(answers),
            # Without an operator: what is exchanged here is shared with others.
            "user_agent": user_agent(os.environ),
            "logger": http_logger,
        }
        if not self._deployment.identity_binding:
            return ClientAssertionCredential(func=lambda: presented.value, transport=self._transport, **options)
        return WorkloadIdentityCredential(
            token_file_path=str(self._deployment.token_file),
            enable_azure_proxy=True,
            connection_timeout=self._limits.connection_seconds,
            read_timeout=self._limits.read_seconds,
            **options,
        )

    def _refused(
        self, request: TokenRequest, failure: Failure, presented: FederatedToken, attempts: int
    ) -> TokenExchangeError:
        meaning = failure.explain(self._authority_host, attempts)
        claims = command = None
        if meaning.fix is Fix.CREATE_CREDENTIAL:
            # An import that costs each process some 20 ms of CPU, and that only this error needs.
            from airflow_azure_wi.federation.az import command_to_accept

            command = command_to_accept(presented, self._identity, may_exist=True)
        if failure.kind is not Kind.UNREACHABLE:
            when = f", {presented.validity()}" if failure.code == OUTSIDE_ITS_VALIDITY_PERIOD else ""
            file = quoted(str(self._deployment.token_file), longest=1000)
            claims = f"{presented.describe_claims()}{when}, from {file}"
        return self._error(
            request,
            cause=meaning.cause,
            next_step=meaning.next_step,
            command=command,
            code=failure.code,
            claims=claims,
            answer=failure.answer,
        )

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

    def _who(self) -> str:
        return describe_users(self._users, self._identity)


def describe_users(users: Collection[str], identity: WorkloadIdentity) -> str:
    """Return the connections that use an identity, with its ids, for a message."""
    return f"{names_of(users) or 'a workload identity'} (client id {identity.client_id}, tenant {identity.tenant_id})"


def _check_identity_binding(environment: Mapping[str, str]) -> None:
    """Check whether AKS identity bindings can be used here, in what azure-identity would not say, or less clearly.

    azure-identity does the rest: https://learn.microsoft.com/azure/aks/identity-bindings.

    :param environment: where AKS says how its proxy is reached.
    :raises DeploymentError: if the installed azure-identity has no identity bindings, or the environment contradicts
        itself.
    """
    switch = option_name("identity_binding")
    installed = metadata.version("azure-identity")
    # The first release whose WorkloadIdentityCredential takes enable_azure_proxy.
    if tuple(int(part) for part in installed.split(".")[:2]) < (1, 27):
        raise DeploymentError(
            f"{switch} is True, but azure-identity {installed} does not support identity bindings. Add "
            "azure-identity>=1.27 to the requirements of the deployment."
        )
    proxy = environment.get("AZURE_KUBERNETES_TOKEN_PROXY")
    ca_file, ca_data = (environment.get(f"AZURE_KUBERNETES_CA_{kind}") for kind in ("FILE", "DATA"))
    problems = []
    if proxy and not proxy.startswith("https://"):
        problems.append(f"AZURE_KUBERNETES_TOKEN_PROXY is {quoted(proxy)}, expected an https URL")
    if ca_file and ca_data:
        problems.append("AZURE_KUBERNETES_CA_FILE and AZURE_KUBERNETES_CA_DATA are both set, expected one of them")
    if ca_file and not os.path.isfile(ca_file):
        problems.append(f"AZURE_KUBERNETES_CA_FILE is {quoted(ca_file)}, where there is no file")
    if not proxy and (ca_file or ca_data or environment.get("AZURE_KUBERNETES_SNI_NAME")):
        problems.append("AZURE_KUBERNETES_TOKEN_PROXY is not set, but other variables of identity bindings are")
    if problems:
        raise DeploymentError(
            f"{switch} is True, but the environment of this workload does not fit: {'; '.join(problems)}. AKS sets "
            'these variables in pods with the annotation azure.workload.identity/use-identity-binding: "true".'
        )
    if not proxy:
        logger.warning(
            "%s is True, but AZURE_KUBERNETES_TOKEN_PROXY is not set in this process: tokens are exchanged with "
            "Microsoft Entra ID itself, which wants a federated identity credential for this workload",
            switch,
        )


def _disk_cache(identity: WorkloadIdentity, deployment: Deployment) -> "DiskCache | None":
    if deployment.token_cache_folder is None:
        return None
    from airflow_azure_wi.auth.disk_cache import DiskCache

    # The token file is part of the name, so that a workload that Entra would refuse does not find another's token.
    authority = deployment.authority_host_for(identity.cloud)
    parts = (identity.client_id, identity.tenant_id, authority, str(deployment.token_file))
    return DiskCache(deployment.token_cache_folder, "|".join(parts))


def _as_text(error: TokenExchangeError | FederatedTokenError) -> str:
    """Return a failure in the form in which other processes read it."""
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
