"""Checks that need an exchange: what Entra says, and what the access token says."""

from typing import TYPE_CHECKING, Any

from airflow_azure_wi.deployment import DEVELOPMENT_OPTION
from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.durations import format_duration
from airflow_azure_wi.doctor.result import Result, Status
from airflow_azure_wi.entra_errors import EXPLANATIONS, Fix
from airflow_azure_wi.errors import TokenExchangeError, WorkloadIdentityError
from airflow_azure_wi.federation import FederatedIdentityCredential, audience_to_expect
from airflow_azure_wi.federation.az import link_command
from airflow_azure_wi.redaction import excerpt, holds_secret, quoted
from airflow_azure_wi.tokens import FederatedToken, account_in, unverified_claims

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

# No federated identity credential matches.
_NO_MATCH = frozenset(code for code, meaning in EXPLANATIONS.items() if meaning.fix is Fix.CREATE_CREDENTIAL)
_NO_MATCH_FOR_AUDIENCE = "AADSTS700212"
# The identity may have a credential for issuer and subject, with another audience.
_MAY_EXIST = frozenset({"AADSTS70021", _NO_MATCH_FOR_AUDIENCE})


def check_exchange(
    case: Case, token: FederatedToken | None, scope: str, *, name: str = "token exchange"
) -> tuple[Result, "AccessTokenInfo | None"]:
    """Exchange the federated token for a new access token; or let the developer sign in, if so configured."""
    from airflow_azure_wi.auth import exchange_now

    if case.identity is None:
        return Result(name, Status.SKIPPED, "no valid identity is configured"), None
    if holds_secret(scope):
        expected = "expected the URI of a service and /.default, such as https://storage.azure.com/.default"
        return Result(name, Status.FAILED, f"the scope is {quoted(scope)}, {expected}"), None
    try:
        access_token = exchange_now(case.identity, case.deployment, scope, used_by=case.about)
    except TokenExchangeError as error:
        return _refused(case, token, name, error), None
    except WorkloadIdentityError as error:
        return Result(name, Status.FAILED, str(error)), None
    giver = f"{DEVELOPMENT_OPTION} = {case.development_credential}" if case.development_credential else "Entra"
    return Result(name, Status.OK, f"{giver} gave an access token for {excerpt(scope)}"), access_token


def _refused(case: Case, token: FederatedToken | None, name: str, error: TokenExchangeError) -> Result:
    """Return a refusal as a result, with the command for this workload's own token where one helps."""
    details = [
        f"Federated token: {error.claims}." if error.claims else "",
        f"Answer: {error.answer}" if error.answer else "",
    ]
    found = f"{error.connection}: no access token for scope {error.scope}. {error.cause}"
    fixing = _commands(case, token, error.code) if token and error.code in _NO_MATCH else ()
    next_step = error.next_step
    if fixing and error.code == _NO_MATCH_FOR_AUDIENCE:
        next_step += " Or let the credential expect the token's audience, with the command below."
    return Result(name, Status.FAILED, "\n".join(filter(None, [found, *details])), next_step, fixing)


def check_access_token(case: Case, access_token: str) -> tuple[Result, str]:
    """Say what an access token says, and check that it is for the identity; return who signed in, too."""
    claims = unverified_claims(access_token) or {}
    client_id = str(claims.get("appid") or claims.get("azp") or "")
    roles = claims.get("roles")
    lifetime = claims["exp"] - claims["iat"] if _has_numbers(claims, "exp", "iat") else None
    details = [
        # None of them says nothing about access: roles of Azure are not in a token.
        *([f"Application roles: {excerpt(', '.join(map(str, roles)))}."] if isinstance(roles, list) and roles else []),
        *([f"Valid for {format_duration(lifetime)}."] if lifetime is not None else []),
    ]
    who = signed_in_as(access_token)
    if case.development_credential:
        how = f"{DEVELOPMENT_OPTION} = {case.development_credential}"
        who = f"{who} That is a developer ({how}), not the managed identity."
    found = " ".join([who, *details])
    is_asked_for = case.identity is None or client_id.lower() in ("", case.identity.client_id)
    if not is_asked_for and not case.development_credential:
        return Result("access token", Status.WARNING, found, "It is for another client id than was asked for."), who
    return Result("access token", Status.OK, found), who


def signed_in_as(access_token: str) -> str:
    """Return one line that says as whom an access token signs in.

    :param access_token: a token from Entra; nothing of it but ids is in the line.
    """
    claims = unverified_claims(access_token) or {}
    where = f"(object id {claims.get('oid', 'unknown')}) in tenant {claims.get('tid', 'unknown')}"
    return excerpt(f"Signed in as {account_in(access_token)} {where}.")


def _commands(case: Case, token: FederatedToken, code: str | None) -> tuple[str, ...]:
    """Return the command that makes Entra accept the workload's own token, if there is one that works."""
    audience = audience_to_expect(token.audience, case.cloud.token_exchange_audience)
    if case.identity is None or audience is None:
        return ()
    credential = FederatedIdentityCredential.of(token.issuer, token.subject, audience)
    if any(credential.problems()):
        return ()
    return (
        link_command(
            credential,
            client_id=case.identity.client_id,
            resource=case.resource,
            subscription_id=case.identity.subscription_id,
            may_exist=code in _MAY_EXIST,
        ),
    )


def _has_numbers(claims: Any, *names: str) -> bool:
    return all(isinstance(claims.get(name), int | float) for name in names)
