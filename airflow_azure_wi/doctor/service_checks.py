"""Checks of what an access token opens: a subscription, a storage account, a container."""

from typing import TYPE_CHECKING, Any

from airflow_azure_wi.doctor.case import Case
from airflow_azure_wi.doctor.result import Result, Status
from airflow_azure_wi.doctor.services import Target
from airflow_azure_wi.identity import is_guid
from airflow_azure_wi.redaction import excerpt, quoted
from airflow_azure_wi.tokens import object_id_in

if TYPE_CHECKING:
    from requests import Response

_SECONDS = (5.0, 10.0)
# The first version that takes tokens of Entra is 2017-11-09:
# https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
_STORAGE_VERSION = "2021-08-06"

_NO_ROLE = "Assign the identity a role for its data with the command below; it takes a few minutes to work."
# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_NEXT_STEPS = {
    "AuthorizationPermissionMismatch": _NO_ROLE,
    "AuthorizationFailure": "The account refuses this network, or the identity has no role: check its firewall "
    "(az storage account show --query networkRuleSet) and private endpoints, then the role.",
}


def check_subscription(case: Case, access_token: str, subscription_id: str) -> Result:
    """Check that Azure Resource Manager shows a subscription to the identity."""
    import requests

    name = "subscription"
    if not is_guid(subscription_id):
        found = f"the subscription is {quoted(subscription_id)}, expected a GUID (`az account show --query id`)"
        return Result(name, Status.FAILED, found)
    url = f"{case.cloud.resource_manager}/subscriptions/{subscription_id}?api-version=2022-12-01"
    try:
        answer = _get(url, access_token)
        shown = answer.json()
    except (requests.exceptions.RequestException, ValueError) as error:
        return _no_answer(name, case.cloud.resource_manager, error)
    if answer.status_code == 200 and isinstance(shown, dict):
        named = f"{excerpt(str(shown.get('displayName')))} ({subscription_id}) is {excerpt(str(shown.get('state')))}"
        return Result(name, Status.OK, named)
    return Result(
        name,
        Status.FAILED,
        f"{subscription_id} is not visible to the identity (HTTP {answer.status_code}, {_code_of(shown)})",
        "Assign the identity a role on the subscription or on something in it: az role assignment create --assignee "
        f"{case.identity.client_id if case.identity else 'CLIENT_ID'} --role Reader --scope "
        f"/subscriptions/{subscription_id}",
    )


def check_reading(target: Target, url: str, access_token: str) -> Result:
    """Check that a storage account or container can be read: the first thing that is refused without a role."""
    import requests

    try:
        answer = _get(url, access_token, {"x-ms-version": _STORAGE_VERSION})
    except requests.exceptions.RequestException as error:
        return _no_answer("reading", url.partition("?")[0], error)
    if answer.status_code == 200:
        return Result("reading", Status.OK, f"{target.name} can be listed")
    code = excerpt(answer.headers.get("x-ms-error-code", "no code"))
    found = f"listing {target.name} is refused (HTTP {answer.status_code}, {code})"
    next_step = _NEXT_STEPS.get(code)
    object_id = object_id_in(access_token)
    commands = tuple(target.assignments(object_id)) if next_step == _NO_ROLE and object_id else ()
    if commands and not target.within:
        next_step = f"{_NO_ROLE} If it has one for a container alone, name that container in the URL."
    return Result("reading", Status.FAILED, found, next_step, commands)


def _get(url: str, access_token: str, headers: dict[str, str] | None = None) -> "Response":
    import requests

    headers = {"Authorization": f"Bearer {access_token}", **(headers or {})}
    # A redirect would take the token elsewhere.
    return requests.get(url, headers=headers, timeout=_SECONDS, allow_redirects=False)


def _no_answer(name: str, host: str, error: Exception) -> Result:
    found = f"{host} gave no answer that can be read: {type(error).__name__}"
    return Result(name, Status.FAILED, found, "Check the name, proxy and firewall; it is another host than Entra's.")


def _code_of(shown: Any) -> str:
    error = shown.get("error") if isinstance(shown, dict) else None
    return excerpt(str(error.get("code"))) if isinstance(error, dict) else "no code"
