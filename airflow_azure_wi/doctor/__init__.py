"""The checks behind ``test_connection``, ``airflow-azure-wi doctor`` and the preflight DAG.

Each check says what it found, whether that is good, and what to do. No result ever holds a token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from airflow_azure_wi.doctor import network_checks as network
from airflow_azure_wi.doctor import token_checks as tokens
from airflow_azure_wi.doctor.context import DoctorContext, target_of
from airflow_azure_wi.doctor.result import Finding, Remark, Report, Result, Status

__all__ = ["DoctorContext", "Remark", "Report", "Result", "Status", "examine"]


class Check(NamedTuple):
    """A check, and what it needs.

    :param run: makes the check; what later checks need of it, it leaves in the context.
    :param needs: the names of checks before it; if one of them failed or was skipped, this one is skipped.
    :param failure: why those that need this check are skipped if it fails.
    :param unless: why there is nothing to check, if so.
    """

    name: str
    run: Callable[[DoctorContext], Finding]
    needs: Sequence[str] = ()
    failure: str = ""
    unless: str | None = None


def examine(context: DoctorContext, *, scopes: Sequence[str] = (), subscription_id: str | None = None) -> Report:
    """Make all checks, whatever the others found; blocks while they talk to the authority host.

    :param scopes: scopes to get a token for, besides that of Azure Resource Manager; the URL of a storage account or
        of a container in it is read, too.
    :param subscription_id: a subscription that has to be visible to the identity.
    """
    targets = tuple(target_of(scope, context.cloud) for scope in scopes)
    context = replace(context, targets=targets, subscription_id=subscription_id)
    results = tuple(_results(context))
    remark = None if context.signed_in is None else _remark(context)
    return Report(context.about, results, context.signed_in, remark)


def _checks(context: DoctorContext) -> Iterator[Check]:
    """Return the checks in their order: what is configured, the federated token, the network, Entra, the services."""
    unreachable = "the authority host cannot be reached"
    no_token = "there is no federated token"
    developer = no_token if context.development_credential else None
    yield Check("identity", tokens.check_identity, failure="no valid identity is configured")
    if context.is_stock:
        yield Check("connection type", tokens.check_connection_type)
    yield Check("environment", tokens.check_environment)
    yield Check("token file", tokens.check_token_file, failure=no_token)
    yield Check("issuer, subject", tokens.check_claims, ["token file"], unless=developer)
    yield Check("audience", tokens.check_audience, ["token file"], unless=developer)
    expired = "the federated token has expired"
    yield Check("token lifetime", tokens.check_lifetime, ["token file"], expired, unless=developer)
    yield Check("DNS", network.check_dns, failure=unreachable, unless=context.other_route)
    yield Check("TCP", network.check_tcp, ["DNS"], unreachable)
    yield Check("TLS", network.check_tls, ["TCP"], unreachable)
    yield Check("clock", network.check_clock, ["TLS"])
    sign_in = ["identity", "token file"]
    sign_in += [] if developer else ["token lifetime"]
    sign_in += [] if context.other_route else ["TLS"]
    yield Check("token exchange", tokens.check_exchange, sign_in, "sign-in failed")
    yield Check("access token", tokens.check_access_token, ["token exchange"])
    for target in context.targets:
        yield Check("scope", partial(tokens.check_scope, target=target), sign_in, "there is no access token for it")
        if target.url is not None:
            yield Check("reading", partial(network.check_reading, target=target), ["scope"])
    if context.subscription_id is not None:
        yield Check("subscription", network.check_subscription, ["token exchange"])


def _results(context: DoctorContext) -> Iterator[Result]:
    reasons: dict[str, str] = {}  # why a check is skipped that needs the one of this name
    for check in _checks(context):
        reason = check.unless or next((reasons[name] for name in check.needs if name in reasons), None)
        finding = Finding(Status.SKIPPED, reason) if reason else check.run(context)
        reasons.pop(check.name, None)
        if finding.status is Status.SKIPPED:
            reasons[check.name] = finding.found
        elif finding.status is Status.FAILED:
            reasons[check.name] = check.failure
        yield Result(check.name, *finding)


def _remark(context: DoctorContext) -> Remark:
    """Return that a sign-in needs roles as well, with the command that assigns the one for what was asked for."""
    if context.targets and all(target.url is not None for target in context.targets):
        return Remark("Sign-in works, and so does reading. Writing is not checked.")
    text = "Sign-in works. Roles are not checked; without one, reading is refused with 403."
    unread = next((target for target in context.targets if target.role is not None and target.url is None), None)
    if unread is None or unread.role is None:
        return Remark(f"{text} To let a storage account be read, add --scope https://ACCOUNT.blob.core.windows.net.")
    if context.object_id is None:
        return Remark(text)
    named = "" if unread.resource else f" ({unread.role.placeholder} stands for its name)"
    command = unread.assignment(context.object_id)
    return Remark(f"{text} This assigns one for {unread.role.service}{named}:", (command,) if command else ())
