"""The link as Bicep: https://learn.microsoft.com/azure/templates/microsoft.managedidentity/userassignedidentities."""

from collections.abc import Collection, Sequence

from airflow_azure_wi.federation.credentials import FederatedIdentityCredential, IdentityResource

_TEMPLATE = """\
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


def render(
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
            comment=" // exists already" if credential.name in existing else "",
            name=quoted(credential.name),
            issuer=quoted(credential.issuer),
            subject=quoted(credential.subject),
            audience=quoted(credential.audience),
        )
        for credential in credentials
    )
    return _TEMPLATE.format(identity=quoted(identity.name), workloads=workloads)


def quoted(value: str) -> str:
    """Return a string of Bicep that means exactly the value."""
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "'" + "".join(escapes.get(character, character) for character in value).replace("${", "\\${") + "'"
