"""AKS identity bindings: one federated identity credential for any number of clusters, past the limit of 20.

https://learn.microsoft.com/azure/aks/identity-bindings-concepts.
"""

import shlex
from collections.abc import Sequence

from airflow_azure_wi.federation.credentials import IdentityResource
from airflow_azure_wi.federation.workloads import Workloads

_TEMPLATE = """\
# Once for each AKS cluster; the one credential on the identity is made by the first.
CLUSTER=the-name-of-the-cluster
CLUSTER_GROUP=the-resource-group-of-the-cluster
ID=$({show} --query id --output tsv)
CLIENT_ID=$({show} --query clientId --output tsv)
az aks identity-binding create --name {name} --cluster-name "$CLUSTER" --resource-group "$CLUSTER_GROUP" \\
    --managed-identity-resource-id "$ID"
kubectl apply -f - <<EOF
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: use-managed-identity-$CLIENT_ID
rules:
  - verbs: ["use-managed-identity"]
    apiGroups: ["cid.wi.aks.azure.com"]
    resources: ["$CLIENT_ID"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: use-managed-identity-$CLIENT_ID
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: use-managed-identity-$CLIENT_ID
subjects:
{subjects}
EOF
# And give the pods the annotation azure.workload.identity/use-identity-binding: "true", and Airflow the option
# AIRFLOW__AZURE_WORKLOAD_IDENTITY__IDENTITY_BINDING=True."""


def script(identity: IdentityResource, deployments: Sequence[Workloads]) -> str:
    """Return commands for bash that bind an identity to a cluster and let the service accounts use it."""
    show = ["az", "identity", "show", "--name", identity.name, "--resource-group", identity.resource_group]
    if identity.subscription_id:
        show += ["--subscription", identity.subscription_id]
    accounts = [account for deployment in deployments for account in deployment.service_accounts()]
    subjects = "\n".join(
        f"  - kind: ServiceAccount\n    namespace: {namespace}\n    name: {name}"
        for namespace, name in dict.fromkeys(accounts)
    )
    return _TEMPLATE.format(show=shlex.join(show), name=shlex.quote(identity.name.lower()), subjects=subjects)
