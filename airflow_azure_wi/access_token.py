"""What an access token says about who signed in. It is Entra's to the service; here it is only read for messages."""

from airflow_azure_wi.federated_token import unverified_claims
from airflow_azure_wi.identity import is_guid

# In the order in which they name a person best; an application has none of them.
_NAMES_OF_A_PERSON = ("upn", "preferred_username", "unique_name", "email")


def account_in(access_token: str) -> str:
    """Return the name of the account that an access token is for: a person's, or else an application's client id."""
    claims = unverified_claims(access_token) or {}
    names = (claims.get(claim) for claim in (*_NAMES_OF_A_PERSON, "appid", "azp"))
    return next((str(name) for name in names if name), "an application that the token does not name")


def object_id_in(access_token: str) -> str | None:
    """Return the object id of the service principal or person that an access token is for, or None."""
    object_id = str((unverified_claims(access_token) or {}).get("oid"))
    return object_id if is_guid(object_id) else None
