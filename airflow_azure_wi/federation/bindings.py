"""AKS identity bindings: one federated identity credential for any number of clusters, past the limit of 20.

https://learn.microsoft.com/azure/aks/identity-bindings-concepts and
https://learn.microsoft.com/azure/aks/identity-bindings; the command:
https://learn.microsoft.com/cli/azure/aks/identity-binding.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_azure_wi.federation import commands
from airflow_azure_wi.federation.credentials import IdentityResource
from airflow_azure_wi.federation.workloads import Workloads


@dataclass(frozen=True)
class Cluster:
    """Where an AKS cluster is found in Azure.

    :param name: its name.
    :param resource_group: its resource group.
    """

    name: str
    resource_group: str


# Before it is known which cluster; the names are to be replaced.
ANY_CLUSTER = Cluster("the-name-of-the-cluster", "the-resource-group-of-the-cluster")

_TEMPLATE = """\
# Binds the {title} to an AKS cluster, and lets {count} service accounts use it. Once for each cluster: AKS
# keeps the one federated identity credential on the identity. kubectl has to be set to the cluster.
(
set -e
ID=$({show_id} | tr -d '\\r')
CLIENT_ID=$({show_client_id} | tr -d '\\r')
{create} \\
    --managed-identity-resource-id "$ID" --output none
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
)
# Then give Airflow's pods the label azure.workload.identity/use: "true" and the annotation
# azure.workload.identity/use-identity-binding: "true" (with the official Helm chart: airflowPodAnnotations),
# azure-identity 1.27 or later, and the option AIRFLOW__AZURE_WORKLOAD_IDENTITY__IDENTITY_BINDING=True."""


def script(identity: IdentityResource, deployments: Sequence[Workloads], cluster: Cluster = ANY_CLUSTER) -> str:
    """Return commands for a shell that bind an identity to a cluster and let the service accounts use it."""
    create = [
        *("az", "aks", "identity-binding", "create", "--name", identity.name.lower()),
        *("--cluster-name", cluster.name, "--resource-group", cluster.resource_group),
    ]
    accounts = list(dict.fromkeys(account for deployment in deployments for account in deployment.service_accounts()))
    return _TEMPLATE.format(
        title=identity.title,
        count=len(accounts),
        show_id=shlex.join(commands.show(identity, "--query", "id", "--output", "tsv")),
        show_client_id=shlex.join(commands.show(identity, "--query", "clientId", "--output", "tsv")),
        create=commands.wrapped(create).rstrip("\n"),
        subjects="\n".join(
            f"  - kind: ServiceAccount\n    namespace: {namespace}\n    name: {name}" for namespace, name in accounts
        ),
    )
