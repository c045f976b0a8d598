"""Saying what works and what does not, in words that lead on."""

from airflow_azure_wi.federated_token import unverified_claims


def signed_in_as(access_token: str) -> str:
    """Return one line that says as whom an access token signs in.

    :param access_token: a token from Entra; nothing of it but ids is in the line.
    """
    claims = unverified_claims(access_token) or {}
    who = claims.get("appid") or claims.get("azp") or "an application that the token does not name"
    return f"Signed in as {who} (object id {claims.get('oid', 'unknown')}) in tenant {claims.get('tid', 'unknown')}."
