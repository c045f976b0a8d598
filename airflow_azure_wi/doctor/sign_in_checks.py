"""Checks that need an exchange: what Entra says, what the access token says, and what it opens."""

import re
import shlex
from typing import TYPE_CHECKING, Any

from airflow_azure_wi.access_token import account_in
from airflow_azure_wi.deployment import DEVELOPMENT_OPTION
from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.durations import spoken
from airflow_azure_wi.doctor.result import Result, Status
from airflow_azure_wi.entra_errors import EXPLANATIONS, Fix
from airflow_azure_wi.errors import TokenExchangeError, WorkloadIdentityError
from airflow_azure_wi.federated_token import FederatedToken, unverified_claims
from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, problems_of_credential

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

# No federated identity credential matches.
_NO_MATCH = frozenset(code for code, meaning in EXPLANATIONS.items() if meaning.fix is Fix.CREATE_CREDENTIAL)
_NO_MATCH_FOR_AUDIENCE = "AADSTS700212"

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SECONDS = (5.0, 10.0)


def check_exchange(
    case: Case, token: FederatedToken | None, scope: str, *, name: str = "token exchange"
) -> tuple[Result, "AccessTokenInfo | None"]:
    """Exchange the federated token for an access token, always anew; or let the developer sign in, where that is so."""
    from airflow_azure_wi.auth import exchange_now

    if case.identity is None:
        return Result(name, Status.SKIPPED, "it is not known who shall sign in"), None
    try:
        access_token = exchange_now(case.identity, case.deployment, scope, used_by=case.about)
    except TokenExchangeError as error:
        return _refused(case, token, name, error), None
    except WorkloadIdentityError as error:
        return Result(name, Status.FAILED, str(error)), None
    giver = f"{DEVELOPMENT_OPTION} = {case.development_credential}" if case.development_credential else "Entra"
    return Result(name, Status.OK, f"{giver} gave an access token for {scope}"), access_token


def _refused(case: Case, token: FederatedToken | None, name: str, error: TokenExchangeError) -> Result:
    """Return a refusal as a result, with the command for this workload's own token where one helps."""
    details = [
        f"Federated token: {error.claims}." if error.claims else "",
        f"Answer: {error.answer}" if error.answer else "",
    ]
    found = f"{error.connection}: no access token for scope {error.scope}. {error.cause}"
    fixing = _commands(case, token) if token and error.code in _NO_MATCH else ()
    next_step = error.next_step
    if fixing and error.code == _NO_MATCH_FOR_AUDIENCE:
        next_step += (
            " Or let the credential expect the token's audience, with the command below: if Azure says that issuer "
            "and subject exist already, repeat it with the name of that credential for --name."
        )
    return Result(name, Status.FAILED, "\n".join(filter(None, [found, *details])), next_step, fixing)


def check_access_token(case: Case, access_token: str) -> tuple[Result, str]:
    """Say what an access token says, and check that it is for the identity; return who signed in, too."""
    claims = unverified_claims(access_token) or {}
    client_id = str(claims.get("appid") or claims.get("azp") or "")
    roles = claims.get("roles")
    lifetime = claims["exp"] - claims["iat"] if _has_numbers(claims, "exp", "iat") else None
    details = [
        f"application roles: {', '.join(map(str, roles)) if isinstance(roles, list) and roles else 'none'}",
        *([f"valid for {spoken(lifetime)}"] if lifetime is not None else []),
    ]
    who = signed_in_as(access_token)
    if case.development_credential:
        how = f"{DEVELOPMENT_OPTION} = {case.development_credential}"
        who = f"{who} That is a developer ({how}), not the managed identity."
    found = f"{who} ({'; '.join(details)})"
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
    return f"Signed in as {account_in(access_token)} {where}."


def check_subscription(case: Case, access_token: str, subscription_id: str) -> Result:
    """Check that Azure Resource Manager shows a subscription to the identity."""
    import requests

    if not _GUID.fullmatch(subscription_id):
        found = f"the subscription is {subscription_id!r}, expected a GUID (`az account show --query id`)"
        return Result("subscription", Status.FAILED, found)
    url = f"{case.cloud.resource_manager}/subscriptions/{subscription_id}?api-version=2022-12-01"
    try:
        answer = requests.get(url, headers={"Authorization": f"Bearer {access_token}"}, timeout=_SECONDS)
        shown = answer.json()
    except (requests.exceptions.RequestException, ValueError) as error:
        found = f"{case.cloud.resource_manager} gave no answer that can be read: {type(error).__name__}"
        return Result(
            "subscription", Status.FAILED, found, "Check proxy and firewall; it is another host than Entra's."
        )
    if answer.status_code == 200:
        named = f"{shown.get('displayName')} ({subscription_id}) is {shown.get('state')}"
        return Result("subscription", Status.OK, named)
    return Result(
        "subscription",
        Status.FAILED,
        f"{subscription_id} is not visible to the identity (HTTP {answer.status_code}, {_code_of(shown)})",
        "Assign the identity a role on the subscription or on something in it: az role assignment create --assignee "
        f"{case.identity.client_id if case.identity else 'CLIENT_ID'} --role Reader --scope "
        f"/subscriptions/{subscription_id}",
    )


def _commands(case: Case, token: FederatedToken) -> tuple[str, ...]:
    """Return the command that makes the workload's own token acceptable, if such a credential can be."""
    credential = FederatedIdentityCredential.of(token.issuer, token.subject, next(iter(token.audience), ""))
    if case.identity is None or any(problems_of_credential(credential)):
        return ()
    if case.resource is None:
        return (commands.create_for_client(case.identity.client_id, credential),)
    return (shlex.join(commands.create(case.resource, credential)),)


def _has_numbers(claims: Any, *names: str) -> bool:
    return all(isinstance(claims.get(name), int | float) for name in names)


def _code_of(shown: Any) -> str:
    error = shown.get("error") if isinstance(shown, dict) else None
    return str(error.get("code")) if isinstance(error, dict) else "no code"
