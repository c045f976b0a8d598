"""The link as Terraform and as Bicep.

https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/federated_identity_credential,
https://registry.terraform.io/providers/hashicorp/azuread/latest/docs/resources/application_federated_identity_credential,
https://developer.hashicorp.com/terraform/language/block/import and
https://learn.microsoft.com/azure/templates/microsoft.managedidentity/userassignedidentities.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from airflow_azure_wi.federation import Application, FederatedIdentityCredential, Holder, IdentityResource
from airflow_azure_wi.federation.comparison import Existing

_IDENTITY = """\
# Links workloads to a managed identity. Needs the provider hashicorp/azurerm 4.66 or later{subscription}.
data "azurerm_user_assigned_identity" "airflow" {{
  name                = {name}
  resource_group_name = {group}
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

_APPLICATION = """\
# Links workloads to an application. Needs the provider hashicorp/azuread 3.0 or later, in the application's own tenant.
data "azuread_application" "airflow" {{
  client_id = {client_id}
}}
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

_AFTER = """
  # One after the other: Azure refuses writes to one identity that overlap.
  depends_on = [{resource}.{label}]
"""

_IMPORT = """
# It exists already. An expression as id needs Terraform 1.6 or later.
import {{
  to = {resource}.{label}
  id = "{id}"
}}
"""


def terraform(
    holder: Holder,
    credentials: Sequence[FederatedIdentityCredential],
    existing: Mapping[str, Existing] | None = None,
) -> str:
    """Return a configuration that holds the credentials, and looks the identity or the application up.

    :param existing: those of the credentials that exist already, by their names; they are imported.
    """
    if isinstance(holder, Application):
        text = _APPLICATION.format(client_id=hcl(holder.client_id))
        template, resource = _ON_APPLICATION, "azuread_application_federated_identity_credential"
        imported = "${data.azuread_application.airflow.object_id}/federatedIdentityCredential/"
    else:
        subscription = f",\n# set to the subscription {hcl(holder.subscription_id)}" if holder.subscription_id else ""
        text = _IDENTITY.format(name=hcl(holder.name), group=hcl(holder.resource_group), subscription=subscription)
        template, resource = _ON_IDENTITY, "azurerm_federated_identity_credential"
        imported = "${data.azurerm_user_assigned_identity.airflow.id}/federatedIdentityCredentials/"
    after = ""
    for credential in credentials:
        label = re.sub(r"[^A-Za-z0-9_-]", "_", f"airflow_{credential.name}")
        if found := (existing or {}).get(credential.name):
            # Terraform knows the credential of an application by the id that Microsoft Graph gave it, that of a
            # managed identity by its name.
            last = (found.id or "ID_OF_THE_CREDENTIAL") if isinstance(holder, Application) else found.name
            text += _IMPORT.format(resource=resource, label=label, id=f"{imported}{hcl(last)[1:-1]}")
        text += template.format(label=label, after=after, **_values(credential, hcl))
        after = _AFTER.format(resource=resource, label=label)
    return text


def hcl(value: str) -> str:
    """Return a quoted template of HCL that means exactly the value."""
    # JSON's escapes are HCL's too, except pairs of surrogates, which ensure_ascii would write. Only the two template
    # markers mean something in HCL that they do not in JSON.
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


_BICEP = """\
// Links workloads to a managed identity. Deploy it to the identity's resource group:
// az deployment group create --resource-group GROUP --template-file FILE
var workloads = [
{workloads}
]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {{
  name: {identity}
}}

// One after the other: Azure refuses writes to one identity that overlap.
@batchSize(1)
resource credentials 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [
  for workload in workloads: {{
    parent: identity
    name: workload.name
    properties: {{
      issuer: workload.issuer
      subject: workload.subject
      audiences: [
        workload.audience
      ]
    }}
  }}
]
"""

_WORKLOAD = """\
  {{{comment}
    name: {name}
    issuer: {issuer}
    subject: {subject}
    audience: {audience}
  }}"""


def bicep(
    identity: IdentityResource,
    credentials: Sequence[FederatedIdentityCredential],
    existing: Collection[str] = (),
) -> str:
    """Return a template that holds the credentials, and refers to the identity as existing.

    :param existing: the names of those that exist already. Bicep needs no import: a deployment updates what has the
        name.
    """
    workloads = "\n".join(
        _WORKLOAD.format(
            comment=" // exists already" if credential.name in existing else "", **_values(credential, bicep_string)
        )
        for credential in credentials
    )
    return _BICEP.format(identity=bicep_string(identity.name), workloads=workloads)


def bicep_string(value: str) -> str:
    """Return a string of Bicep that means exactly the value."""
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "'" + "".join(escapes.get(character, character) for character in value).replace("${", "\\${") + "'"


def _values(credential: FederatedIdentityCredential, quote: Callable[[str], str]) -> dict[str, str]:
    return {name: quote(getattr(credential, name)) for name in ("name", "issuer", "subject", "audience")}
