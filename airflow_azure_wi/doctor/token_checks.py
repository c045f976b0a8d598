"""Checks of what the deployment provides: the identity, the environment, and the federated token in its file."""

import time
from collections.abc import Iterator
from datetime import datetime, timezone

from airflow_azure_wi import tokens
from airflow_azure_wi.clouds import cloud_at
from airflow_azure_wi.deployment import DEVELOPMENT_OPTION
from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.durations import format_duration
from airflow_azure_wi.doctor.result import Result, Status
from airflow_azure_wi.errors import FederatedTokenError
from airflow_azure_wi.federation import problem_of_issuer
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import excerpt
from airflow_azure_wi.tokens import FederatedToken

_VARIABLES = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST")

# The kubelet replaces a token when 80 % of its life are over; somewhat later it is late.
_LATE_FOR_ROTATION = 0.9

_TOLERATED_SKEW = 60

_CLOCK = "Set this machine's clock (NTP), or that of the machine that signed the token."

_ROTATION = (
    "Check that the file is a projected volume, not a copy, that it is mounted without subPath (which never sees a "
    "rotation), and that the clock is right."
)


def check_identity(case: Case) -> Result:
    """Check that a valid identity is configured."""
    if case.identity is None:
        return Result("identity", Status.FAILED, case.identity_problem or "unknown")
    who = case.identity
    subscription = f", subscription {who.subscription_id}" if who.subscription_id else ""
    found = f"client id {who.client_id}, tenant {who.tenant_id}{subscription}, {who.cloud.name} (from {case.about})"
    return Result("identity", Status.OK, found)


def check_connection_type(case: Case) -> Iterator[Result]:
    """Say what a connection of the stock type is served in; nothing is said about this package's own type."""
    if not case.is_stock:
        return
    from airflow_azure_wi.hooks.configuration import serves_stock_connections

    option = option_name("serve_stock_connections")
    if serves_stock_connections():
        found = f"stock type azure; stock hooks sign in through airflow-azure-wi, as {option} is True"
    else:
        found = (
            "stock type azure: this report is about airflow-azure-wi, which serves the connection in its own hook and "
            "where a DAG names the endpoint with at(). With the plain id, stock hooks sign in without it, by "
            f"DefaultAzureCredential; {option} = True changes that."
        )
    yield Result("connection type", Status.OK, found)


def check_environment(case: Case) -> Result:
    """Say which variables are set, and check the authority host among them."""
    values = {name: excerpt(case.environment.get(name, "").strip()) for name in _VARIABLES}
    found = ", ".join(f"{name}={value}" for name, value in values.items() if value) or "no AZURE_ variable is set"
    if problems := [problem for problem in (case.authority_problem, case.options_problem) if problem]:
        return Result("environment", Status.FAILED, "\n".join(problems))
    if mismatch := _mismatch_of_clouds(case):
        return Result("environment", Status.WARNING, f"{found}; {mismatch[0]}", mismatch[1])
    own = values["AZURE_CLIENT_ID"].lower()
    if case.identity and own and own != case.identity.client_id:
        return Result(
            "environment",
            Status.OK,
            f"{found}; the client id of {case.about} overrides AZURE_CLIENT_ID, which differs",
        )
    return Result("environment", Status.OK, found)


def _mismatch_of_clouds(case: Case) -> tuple[str, str] | None:
    """Return what is wrong, and the next step, where authority host and connection are of different clouds."""
    host = case.deployment.authority_host
    cloud = cloud_at(host) if host else None
    if cloud is None or case.identity is None or cloud == case.cloud:
        return None
    return (
        f"AZURE_AUTHORITY_HOST wins, and is that of {cloud.name}, but the identity's cloud_environment is "
        f"{case.cloud.name}",
        f'Set "cloud_environment": "{cloud.name}" in the extra of the connection, or AZURE_AUTHORITY_HOST to '
        f"{case.cloud.authority_host} where the task runs.",
    )


def check_token_file(case: Case) -> tuple[Result, FederatedToken | None]:
    """Check that the file can be read and holds a JSON Web Token."""
    if case.token_file_problem:
        return Result("token file", Status.FAILED, case.token_file_problem), None
    file = case.deployment.token_file
    if case.development_credential:
        return _developer_signs_in(case), None
    try:
        token = tokens.read(file, named_by=case.deployment.token_file_named_by)
        age = format_duration(time.time() - file.stat().st_mtime)
    except FederatedTokenError as error:
        return Result("token file", Status.FAILED, str(error)), None
    except OSError:
        age = "an unknown time"
    found = f"{_file(case)} holds a JSON Web Token, written {age} ago (named by {case.deployment.token_file_named_by})"
    return Result("token file", Status.OK, found), token


def _developer_signs_in(case: Case) -> Result:
    return Result(
        "token file",
        Status.WARNING,
        f"{_file(case)} does not exist (named by {case.deployment.token_file_named_by}), "
        f"and {DEVELOPMENT_OPTION} = {case.development_credential}: a developer signs in, not the managed identity",
        f"Where workloads run, project a federated token, and leave {DEVELOPMENT_OPTION} empty.",
    )


def check_claims(token: FederatedToken | None) -> Result:
    """Check the issuer and the subject, by which Entra recognizes the workload."""
    name = "issuer, subject"
    if token is None:
        return _no_token(name)
    found = f"issuer {excerpt(token.issuer) or 'missing'}, subject {excerpt(token.subject) or 'missing'}"
    if not token.issuer or not token.subject:
        return Result(name, Status.FAILED, found, "Project a service account token of Kubernetes: it has both.")
    if problem := problem_of_issuer(token.issuer):
        return Result(
            name,
            Status.WARNING,
            f"{found}; Entra cannot use this issuer: {problem}",
            "Give the cluster a public OIDC issuer (on AKS: az aks update --enable-oidc-issuer).",
        )
    return Result(name, Status.OK, found)


def check_audience(case: Case, token: FederatedToken | None) -> Result:
    """Check that the token is for the token exchange of the cloud."""
    if token is None:
        return _no_token("audience")
    expected = case.cloud.token_exchange_audience
    found = excerpt(", ".join(token.audience)) or "missing"
    # The proxy of AKS identity bindings expects an audience of its own.
    if expected in token.audience or case.token_proxy:
        return Result("audience", Status.OK, found)
    return Result(
        "audience",
        Status.WARNING,
        f"{found}; {case.cloud.name} expects {expected}, unless the federated identity credential names another",
        f"Project the token with the audience {expected}.",
    )


def check_lifetime(case: Case, token: FederatedToken | None) -> Result:
    """Check that the token is valid now, and is replaced in time."""
    name = "token lifetime"
    if token is None:
        return _no_token(name)
    now = time.time()
    left = token.seconds_left(now)
    if left is None:
        return Result(name, Status.WARNING, "the token does not say when it expires", _ROTATION)
    if left <= 0:
        found = f"the federated token in {_file(case)} expired {format_duration(-left)} ago ({token.describe_claims()})"
        return Result(name, Status.FAILED, found, _ROTATION)
    if token.not_before is not None and token.not_before > now + _TOLERATED_SKEW:
        wait = format_duration(token.not_before - now)
        found = f"not valid yet: its nbf is {_utc(token.not_before)}, in {wait}; expires in {format_duration(left)}"
        return Result(name, Status.WARNING, found, _CLOCK)
    return _check_rotation(name, left, None if token.issued_at is None else now - token.issued_at)


def _check_rotation(name: str, left: float, age: float | None) -> Result:
    expiry = f"expires in {format_duration(left)}"
    if age is None:
        return Result(name, Status.OK, expiry)
    if age < -_TOLERATED_SKEW:
        found = f"issued {format_duration(-age)} in the future, {expiry}"
        return Result(name, Status.WARNING, found, _CLOCK)
    found = f"issued {format_duration(age)} ago, {expiry}"
    if age > _LATE_FOR_ROTATION * (age + left):
        return Result(name, Status.WARNING, f"{found}; it should have been replaced by now", _ROTATION)
    return Result(name, Status.OK, found)


def _file(case: Case) -> str:
    return excerpt(str(case.deployment.token_file))


def _utc(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def _no_token(name: str) -> Result:
    return Result(name, Status.SKIPPED, "there is no federated token to look at")
