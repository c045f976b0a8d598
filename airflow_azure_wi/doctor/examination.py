"""The examination: every check that can say something, in order, whatever the others found."""

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_azure_wi.doctor import network_checks as network
from airflow_azure_wi.doctor import service_checks as service
from airflow_azure_wi.doctor import services as roles
from airflow_azure_wi.doctor import sign_in_checks as sign_in
from airflow_azure_wi.doctor import token_checks as deployed
from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.result import Remark, Report, Result, Status
from airflow_azure_wi.doctor.services import Target, target_of
from airflow_azure_wi.redaction import excerpt
from airflow_azure_wi.tokens import FederatedToken, object_id_in

_SIGN_IN = ("token exchange", "access token")

_COMMANDS_OF_DEVELOPERS = {"azure_cli": "the Azure CLI", "azure_developer_cli": "the Azure Developer CLI"}


def examine(case: Case, *, scopes: Sequence[str] = (), subscription_id: str | None = None) -> Report:
    """Make all checks; blocks while they talk to the authority host.

    :param scopes: scopes to get a token for, besides that of Azure Resource Manager; the URL of a storage account or
        of a container in it is read, too.
    :param subscription_id: a subscription that has to be visible to the identity.
    """
    token_file, token = deployed.check_token_file(case)
    results = [
        deployed.check_identity(case),
        *deployed.check_connection_type(case),
        deployed.check_environment(case),
        token_file,
        deployed.check_claims(token),
        deployed.check_audience(case, token),
        deployed.check_lifetime(case, token),
        *_way_to_the_authority(case),
    ]
    signed_in, remark = None, None
    if why_not := _reason_not_to_exchange(case, token, results):
        results += [Result(name, Status.SKIPPED, why_not) for name in _SIGN_IN]
    else:
        targets = [target_of(scope, case.cloud) for scope in scopes]
        signing_in, signed_in, remark = _sign_in(case, token, targets, subscription_id)
        results += signing_in
    return Report(case.about, tuple(results), signed_in, remark)


def _way_to_the_authority(case: Case) -> Iterator[Result]:
    names = ("DNS", "TCP", "TLS", "clock")
    if case.authority_problem:
        yield from (Result(name, Status.SKIPPED, "the authority host is not known") for name in names)
        return
    if case.token_proxy:
        why = f"tokens are exchanged by the proxy of AKS identity bindings, {excerpt(case.token_proxy)}"
        yield from (Result(name, Status.SKIPPED, why) for name in names)
        return
    if case.development_credential in _COMMANDS_OF_DEVELOPERS:
        why = f"{_COMMANDS_OF_DEVELOPERS[case.development_credential]} gets access tokens on its own network path"
        yield from (Result(name, Status.SKIPPED, why) for name in names)
        return
    route = network.route_to(network.openid_configuration_of(case))
    yield (result := network.check_dns(route))
    if result.status is not Status.FAILED:
        yield (result := network.check_tcp(route))
    answer: Any = None
    if result.status is not Status.FAILED:
        result, answer = network.check_tls(route)
        yield result
        yield network.check_clock(answer)


def _reason_not_to_exchange(case: Case, token: FederatedToken | None, results: Sequence[Result]) -> str | None:
    if case.identity is None:
        return "no valid identity is configured"
    if token is None and case.development_credential is None:
        return "there is no federated token to exchange"
    failed = {result.name for result in results if result.status is Status.FAILED}
    if case.authority_problem or failed & {"DNS", "TCP", "TLS"}:
        return "the authority host cannot be reached"
    if "token lifetime" in failed:
        return "the federated token has expired"
    return None


def _sign_in(
    case: Case, token: FederatedToken | None, targets: Sequence[Target], subscription_id: str | None
) -> tuple[list[Result], str | None, Remark | None]:
    result, access_token = sign_in.check_exchange(case, token, case.cloud.resource_manager_scope)
    results = [result]
    signed_in, remark = None, None
    if access_token is None:
        results.append(Result("access token", Status.SKIPPED, "there is none"))
    else:
        result, signed_in = sign_in.check_access_token(case, access_token.token)
        results.append(result)
        remark = roles.remark_on(targets, None if case.development_credential else object_id_in(access_token.token))
    for target in targets:
        result, of_service = sign_in.check_exchange(case, token, target.scope, name="scope")
        results.append(result)
        if target.url is not None and of_service is not None:
            results.append(service.check_reading(target, target.url, of_service.token))
    if subscription_id is not None:
        results.append(
            service.check_subscription(case, access_token.token, subscription_id)
            if access_token is not None
            else Result("subscription", Status.SKIPPED, "there is no access token to ask with")
        )
    return results, signed_in, remark
