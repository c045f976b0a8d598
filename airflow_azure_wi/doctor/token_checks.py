"""Checks of the identity, the environment and the federated token, and of the access token that it is exchanged for."""

import time
from typing import Any

from airflow_azure_wi import tokens
from airflow_azure_wi.clouds import cloud_at
from airflow_azure_wi.deployment import DEVELOPMENT_OPTION
from airflow_azure_wi.doctor.context import DoctorContext, Target
from airflow_azure_wi.doctor.result import Finding, Status, format_duration
from airflow_azure_wi.entra_errors import EXPLANATIONS, Fix
from airflow_azure_wi.errors import FederatedTokenError, TokenExchangeError, WorkloadIdentityError
from airflow_azure_wi.federation import problem_of_issuer
from airflow_azure_wi.federation.az import command_to_accept
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import excerpt, holds_secret, quoted

_VARIABLES = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST")

# The kubelet replaces a token when 80 % of its life are over; somewhat later it is late.
_LATE_FOR_ROTATION = 0.9

_TOLERATED_SKEW = 60

_CLOCK = "Set this machine's clock (NTP), or that of the machine that signed the token."


# No federated identity credential matches.
_NO_MATCH = frozenset(code for code, meaning in EXPLANATIONS.items() if meaning.fix is Fix.CREATE_CREDENTIAL)
_NO_MATCH_FOR_AUDIENCE = "AADSTS700212"
# The identity may have a credential for issuer and subject, with another audience.
_MAY_EXIST = frozenset({"AADSTS70021", _NO_MATCH_FOR_AUDIENCE})

_NO_TOKEN = Finding(Status.SKIPPED, "there is no federated token")


def check_identity(context: DoctorContext) -> Finding:
    """Check that a valid identity is configured."""
    if context.identity is None:
        problem = context.identity_problem or "unknown"
        return Finding(Status.FAILED, problem, cause=" ".join(problem.split()))
    who = context.identity
    subscription = f", subscription {who.subscription_id}" if who.subscription_id else ""
    found = f"client id {who.client_id}, tenant {who.tenant_id}{subscription}, {who.cloud.name} (from {context.about})"
    return Finding(Status.OK, found)


def check_connection_type(context: DoctorContext) -> Finding:
    """Say where a connection of the stock type is served."""
    option = option_name("serve_stock_connections")
    if context.serves_stock:
        return Finding(
            Status.OK, f"stock type azure; stock hooks sign in through airflow-azure-wi, as {option} is True"
        )
    return Finding(
        Status.OK,
        "stock type azure: this report is about airflow-azure-wi, which serves the connection in its own hook and "
        "where a DAG names the endpoint with at(). With the plain id, stock hooks sign in without it, by "
        f"DefaultAzureCredential; {option} = True changes that.",
    )


def check_environment(context: DoctorContext) -> Finding:
    """Say which variables are set, and check the authority host among them."""
    values = {name: excerpt(context.environment.get(name, "").strip()) for name in _VARIABLES}
    found = ", ".join(f"{name}={value}" for name, value in values.items() if value) or "no AZURE_ variable is set"
    if problems := [text for name, text in context.deployment.problems.items() if name != "token_file"]:
        return Finding(Status.FAILED, "\n".join(problems))
    if mismatch := _mismatch_of_clouds(context):
        return Finding(Status.WARNING, f"{found}; {mismatch[0]}", mismatch[1])
    own = values["AZURE_CLIENT_ID"].lower()
    if context.identity and own and own != context.identity.client_id:
        found += f"; the client id of {context.about} overrides AZURE_CLIENT_ID, which differs"
    return Finding(Status.OK, found)


def _mismatch_of_clouds(context: DoctorContext) -> tuple[str, str] | None:
    """Return what is wrong, and the next step, if authority host and connection are of different clouds."""
    host = context.deployment.authority_host
    cloud = cloud_at(host) if host else None
    if cloud is None or context.identity is None or cloud == context.cloud:
        return None
    return (
        f"AZURE_AUTHORITY_HOST wins, and is that of {cloud.name}, but the identity's cloud_environment is "
        f"{context.cloud.name}",
        f'Set "cloud_environment": "{cloud.name}" in the extra of the connection, or AZURE_AUTHORITY_HOST to '
        f"{context.cloud.authority_host} where the task runs.",
    )


def check_token_file(context: DoctorContext) -> Finding:
    """Check that the file can be read and holds a JSON Web Token."""
    if problem := context.deployment.problems.get("token_file"):
        return Finding(Status.FAILED, problem)
    file, named_by = context.deployment.token_file, context.deployment.token_file_named_by
    if context.development_credential:
        return Finding(
            Status.WARNING,
            f"{_file(context)} does not exist (named by {named_by}), and {DEVELOPMENT_OPTION} = "
            f"{context.development_credential}: a developer signs in, not the managed identity",
            f"Where workloads run, project a federated token, and leave {DEVELOPMENT_OPTION} empty.",
        )
    try:
        context.token = tokens.read_federated_token(file, named_by=named_by)
        age = format_duration(time.time() - file.stat().st_mtime)
    except FederatedTokenError as error:
        return Finding(Status.FAILED, str(error))
    except OSError:
        age = "an unknown time"
    return Finding(Status.OK, f"{_file(context)} holds a JSON Web Token, written {age} ago (named by {named_by})")


def check_claims(context: DoctorContext) -> Finding:
    """Check the issuer and the subject, by which Entra recognizes the workload."""
    token = context.token
    if token is None:
        return _NO_TOKEN
    found = f"issuer {excerpt(token.issuer) or 'missing'}, subject {excerpt(token.subject) or 'missing'}"
    if not token.issuer or not token.subject:
        return Finding(Status.FAILED, found, "Project a service account token of Kubernetes: it has both.")
    if problem := problem_of_issuer(token.issuer):
        return Finding(
            Status.WARNING,
            f"{found}; Entra cannot use this issuer: {problem}",
            "Give the cluster a public OIDC issuer (on AKS: az aks update --enable-oidc-issuer).",
        )
    return Finding(Status.OK, found)


def check_audience(context: DoctorContext) -> Finding:
    """Check that the token is for the token exchange of the cloud."""
    if context.token is None:
        return _NO_TOKEN
    expected = context.cloud.token_exchange_audience
    found = excerpt(", ".join(context.token.audience)) or "missing"
    # The proxy of AKS identity bindings expects an audience of its own.
    if expected in context.token.audience or context.token_proxy:
        return Finding(Status.OK, found)
    return Finding(
        Status.WARNING,
        f"{found}; {context.cloud.name} expects {expected}, unless the federated identity credential names another",
        f"Project the token with the audience {expected}.",
    )


def check_lifetime(context: DoctorContext) -> Finding:
    """Check that the token is valid now, and is replaced in time."""
    token, now = context.token, time.time()
    if token is None:
        return _NO_TOKEN
    left = token.seconds_left(now)
    if left is None:
        return Finding(Status.WARNING, "the token does not say when it expires", tokens.ROTATION_ADVICE)
    if left <= 0:
        expired = f"expired {format_duration(-left)} ago ({token.describe_claims()})"
        return Finding(Status.FAILED, f"the federated token in {_file(context)} {expired}", tokens.ROTATION_ADVICE)
    if token.not_before is not None and token.not_before > now + _TOLERATED_SKEW:
        start = f"{tokens.as_utc(token.not_before)}, in {format_duration(token.not_before - now)}"
        found = f"not valid yet: its nbf is {start}; expires in {format_duration(left)}"
        return Finding(Status.WARNING, found, _CLOCK)
    return _check_rotation(left, None if token.issued_at is None else now - token.issued_at)


def _check_rotation(left: float, age: float | None) -> Finding:
    expiry = f"expires in {format_duration(left)}"
    if age is None:
        return Finding(Status.OK, expiry)
    if age < -_TOLERATED_SKEW:
        return Finding(Status.WARNING, f"issued {format_duration(-age)} in the future, {expiry}", _CLOCK)
    found = f"issued {format_duration(age)} ago, {expiry}"
    if age > _LATE_FOR_ROTATION * (age + left):
        return Finding(Status.WARNING, f"{found}; it should have been replaced by now", tokens.ROTATION_ADVICE)
    return Finding(Status.OK, found)


def check_exchange(context: DoctorContext) -> Finding:
    """Get a new access token for Azure Resource Manager."""
    return _exchange(context, context.cloud.resource_manager_scope)


def check_scope(context: DoctorContext, target: Target) -> Finding:
    """Get a new access token for a service that was asked for."""
    return _exchange(context, target.scope)


def _exchange(context: DoctorContext, scope: str) -> Finding:
    """Exchange the federated token for a new access token; or let the developer sign in, if so configured."""
    from airflow_azure_wi.auth import exchange_now

    if context.identity is None:
        return Finding(Status.SKIPPED, "no valid identity is configured")
    if holds_secret(scope):
        expected = "expected the URI of a service and /.default, such as https://storage.azure.com/.default"
        return Finding(Status.FAILED, f"the scope is {quoted(scope)}, {expected}")
    try:
        access_token = exchange_now(context.identity, context.deployment, scope, used_by=context.about)
    except TokenExchangeError as error:
        return _refused(context, error)
    except WorkloadIdentityError as error:
        return Finding(Status.FAILED, str(error))
    context.access_tokens[scope] = access_token.token
    giver = f"{DEVELOPMENT_OPTION} = {context.development_credential}" if context.development_credential else "Entra"
    return Finding(Status.OK, f"{giver} gave an access token for {excerpt(scope)}")


def _refused(context: DoctorContext, error: TokenExchangeError) -> Finding:
    """Return a refusal as a finding, with the command for this workload's own token if one helps."""
    details = [
        f"Federated token: {error.claims}." if error.claims else "",
        f"Answer: {error.answer}" if error.answer else "",
    ]
    found = f"{error.connection}: no access token for scope {error.scope}. {error.cause}"
    commands = _commands(context, error.code) if error.code in _NO_MATCH else ()
    next_step = error.next_step
    if commands and error.code == _NO_MATCH_FOR_AUDIENCE:
        next_step += " Or let the credential expect the token's audience, with the command below."
    cause = f"{error.code}: {error.cause}" if error.code else error.cause
    return Finding(Status.FAILED, "\n".join(filter(None, [found, *details])), next_step, commands, cause)


def _commands(context: DoctorContext, code: str | None) -> tuple[str, ...]:
    """Return the command that makes Entra accept the workload's own token, if there is one that works."""
    if context.token is None or context.identity is None:
        return ()
    command = command_to_accept(
        context.token, context.identity, resource=context.resource, may_exist=code in _MAY_EXIST
    )
    return () if command is None else (command,)


def check_access_token(context: DoctorContext) -> Finding:
    """Say what the access token says, and check that it is for the identity."""
    access_token = context.access_tokens[context.cloud.resource_manager_scope]
    claims = tokens.unverified_claims(access_token) or {}
    client_id = str(claims.get("appid") or claims.get("azp") or "")
    context.signed_in = _signed_in_as(access_token)
    if context.development_credential:
        how = f"{DEVELOPMENT_OPTION} = {context.development_credential}"
        context.signed_in += f" That is a developer ({how}), not the managed identity."
    found = context.signed_in
    # No roles says nothing about access: roles of Azure are not in a token.
    if isinstance(roles := claims.get("roles"), list) and roles:
        found += f" Application roles: {excerpt(', '.join(map(str, roles)))}."
    if _has_numbers(claims, "exp", "iat"):
        found += f" Valid for {format_duration(claims['exp'] - claims['iat'])}."
    is_asked_for = context.identity is None or client_id.lower() in ("", context.identity.client_id)
    if not is_asked_for and not context.development_credential:
        return Finding(Status.WARNING, found, "It is for another client id than was asked for.")
    return Finding(Status.OK, found)


def _signed_in_as(access_token: str) -> str:
    """Return one line that says as whom an access token signs in: of the token, it has only ids."""
    claims = tokens.unverified_claims(access_token) or {}
    where = f"(object id {claims.get('oid', 'unknown')}) in tenant {claims.get('tid', 'unknown')}"
    return excerpt(f"Signed in as {tokens.account_in(access_token)} {where}.")


def _file(context: DoctorContext) -> str:
    return excerpt(str(context.deployment.token_file))


def _has_numbers(claims: Any, *names: str) -> bool:
    return all(isinstance(claims.get(name), int | float) for name in names)
