"""The link as Terraform: https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs."""

import json
import re
from collections.abc import Sequence

from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, IdentityResource

_IDENTITY = """\
# Links workloads to a managed identity. Needs the provider hashicorp/azurerm 4.66 or later{subscription}.
data "azurerm_user_assigned_identity" "airflow" {{
  name                = {name}
  resource_group_name = {group}
}}
"""

_CREDENTIAL = """
resource "azurerm_federated_identity_credential" "{label}" {{
  name                      = {name}
  user_assigned_identity_id = data.azurerm_user_assigned_identity.airflow.id
  issuer                    = {issuer}
  subject                   = {subject}
  audience                  = [{audience}]
{after}}}
"""

# Azure refuses writes to one identity that overlap (409).
_AFTER = """
  # One after the other: Azure refuses writes to one identity that overlap.
  depends_on = [azurerm_federated_identity_credential.{label}]
"""


def render(identity: IdentityResource, credentials: Sequence[FederatedIdentityCredential]) -> str:
    """Return a configuration that holds the credentials, and looks the identity up."""
    in_subscription = f",\n# set to the subscription {quoted(identity.subscription_id)}"
    text = _IDENTITY.format(
        name=quoted(identity.name),
        group=quoted(identity.resource_group),
        subscription=in_subscription if identity.subscription_id else "",
    )
    before = None
    for credential in credentials:
        text += _credential(credential, before)
        before = credential
    return text


def quoted(value: str | None) -> str:
    """Return a quoted template of HCL that means exactly the value."""
    # JSON's escapes are HCL's too, but for pairs of surrogates, which ensure_ascii would write. Only the two template
    # markers mean something in HCL that they do not in JSON.
    return json.dumps(value or "", ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _credential(credential: FederatedIdentityCredential, before: FederatedIdentityCredential | None) -> str:
    return _CREDENTIAL.format(
        label=_label(credential),
        name=quoted(credential.name),
        issuer=quoted(credential.issuer),
        subject=quoted(credential.subject),
        audience=quoted(credential.audience),
        after=_AFTER.format(label=_label(before)) if before else "",
    )


def _label(credential: FederatedIdentityCredential) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"airflow_{credential.name}")
