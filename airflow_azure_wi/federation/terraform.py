"""The link as Terraform.

https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/federated_identity_credential and
https://registry.terraform.io/providers/hashicorp/azuread/latest/docs/resources/application_federated_identity_credential;
what is imported: https://developer.hashicorp.com/terraform/language/block/import.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_azure_wi.federation.comparison import Existing
from airflow_azure_wi.federation.credentials import Application, FederatedIdentityCredential, Holder, IdentityResource

_IDENTITY = """\
# Links workloads to a managed identity. Needs the provider hashicorp/azurerm 4.66 or later{subscription}.
data "azurerm_user_assigned_identity" "airflow" {{
  name                = {name}
  resource_group_name = {group}
}}
"""

_APPLICATION = """\
# Links workloads to an application. Needs the provider hashicorp/azuread 3.0 or later, in the application's own tenant.
data "azuread_application" "airflow" {{
  client_id = {client_id}
}}
"""

_ON_IDENTITY = """
resource "azurerm_federated_identity_credential" "{label}" {{
  name                      = {name}
  user_assigned_identity_id = data.azurerm_user_assigned_identity.airflow.id
  issuer                    = {issuer}
  subject                   = {subject}
  audience                  = [{audience}]
{after}}}
"""

_ON_APPLICATION = """
resource "azuread_application_federated_identity_credential" "{label}" {{
  application_id = data.azuread_application.airflow.id
  display_name   = {name}
  issuer         = {issuer}
  subject        = {subject}
  audiences      = [{audience}]
{after}}}
"""

# Azure refuses writes to one identity that overlap (409).
_AFTER = """
  # One after the other: Azure refuses writes to one identity that overlap.
  depends_on = [{kind}.{label}]
"""

_IMPORT = """
# It exists already. An expression as id needs Terraform 1.6 or later.
import {{
  to = {kind}.{label}
  id = {id}
}}
"""


@dataclass(frozen=True)
class _Kind:
    """What differs between the credentials of managed identities and those of applications."""

    resource: str
    template: str
    imported: str


_KINDS: Mapping[type, _Kind] = {
    IdentityResource: _Kind(
        "azurerm_federated_identity_credential",
        _ON_IDENTITY,
        "${data.azurerm_user_assigned_identity.airflow.id}/federatedIdentityCredentials/",
    ),
    Application: _Kind(
        "azuread_application_federated_identity_credential",
        _ON_APPLICATION,
        "${data.azuread_application.airflow.object_id}/federatedIdentityCredential/",
    ),
}


def render(
    holder: Holder,
    credentials: Sequence[FederatedIdentityCredential],
    existing: Mapping[str, Existing] | None = None,
) -> str:
    """Return a configuration that holds the credentials, and looks the identity or the application up.

    :param existing: those of the credentials that exist already, by their names; they are imported.
    """
    kind = _KINDS[type(holder)]
    text = _head(holder)
    before = None
    for credential in credentials:
        if found := (existing or {}).get(credential.name):
            text += _import(kind, credential, found)
        text += _credential(kind, credential, before)
        before = credential
    return text


def quoted(value: str | None) -> str:
    """Return a quoted template of HCL that means exactly the value."""
    # JSON's escapes are HCL's too, except pairs of surrogates, which ensure_ascii would write. Only the two template
    # markers mean something in HCL that they do not in JSON.
    return json.dumps(value or "", ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _head(holder: Holder) -> str:
    if isinstance(holder, Application):
        return _APPLICATION.format(client_id=quoted(holder.client_id))
    in_subscription = f",\n# set to the subscription {quoted(holder.subscription_id)}"
    return _IDENTITY.format(
        name=quoted(holder.name),
        group=quoted(holder.resource_group),
        subscription=in_subscription if holder.subscription_id else "",
    )


def _import(kind: _Kind, credential: FederatedIdentityCredential, existing: Existing) -> str:
    # Terraform knows the credential of an application by the id that Microsoft Graph gave it, that of a managed
    # identity by its name.
    last = (existing.id or "ID_OF_THE_CREDENTIAL") if kind.template is _ON_APPLICATION else existing.name
    identifier = f'"{kind.imported}{quoted(last)[1:-1]}"'
    return _IMPORT.format(kind=kind.resource, label=_label(credential), id=identifier)


def _credential(
    kind: _Kind, credential: FederatedIdentityCredential, before: FederatedIdentityCredential | None
) -> str:
    return kind.template.format(
        label=_label(credential),
        name=quoted(credential.name),
        issuer=quoted(credential.issuer),
        subject=quoted(credential.subject),
        audience=quoted(credential.audience),
        after=_AFTER.format(kind=kind.resource, label=_label(before)) if before else "",
    )


def _label(credential: FederatedIdentityCredential) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"airflow_{credential.name}")
