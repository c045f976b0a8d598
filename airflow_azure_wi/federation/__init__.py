"""The link between workloads and a managed identity: federated identity credentials, and what creates them.

Microsoft Entra ID trusts a workload's federated token because a federated identity credential of the managed identity
names its issuer, subject and audience:
https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations.
"""
