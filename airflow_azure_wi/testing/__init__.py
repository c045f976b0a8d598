"""An offline Azure on loopback: a simulated Microsoft Entra ID, a cluster that signs federated tokens, and Azurite.

A laptop or a test can make the real token exchange with the real Azure SDK clients, without an Azure subscription and
without a network. Needs the extra ``testing``.
"""

from airflow_azure_wi.testing.azurite import Azurite, AzuriteError
from airflow_azure_wi.testing.certificates import Certificates, ServerCertificate
from airflow_azure_wi.testing.cluster import Cluster
from airflow_azure_wi.testing.entra import Exchange, SimulatedEntra
from airflow_azure_wi.testing.faults import CloseConnection, Delay, Fault, Hang, Refuse, Status
from airflow_azure_wi.testing.identities import Application, FederatedIdentityCredential, ManagedIdentity
from airflow_azure_wi.testing.offline import OfflineAzure
from airflow_azure_wi.testing.projected_token import ProjectedToken
from airflow_azure_wi.testing.workload import Workload

__all__ = [
    "Application",
    "Azurite",
    "AzuriteError",
    "Certificates",
    "CloseConnection",
    "Cluster",
    "Delay",
    "Exchange",
    "Fault",
    "FederatedIdentityCredential",
    "Hang",
    "ManagedIdentity",
    "OfflineAzure",
    "ProjectedToken",
    "Refuse",
    "ServerCertificate",
    "SimulatedEntra",
    "Status",
    "Workload",
]
