"""AKS identity bindings: whether they can be used here.

azure-identity does the rest: https://learn.microsoft.com/azure/aks/identity-bindings.
"""

import logging
import os.path
from collections.abc import Mapping
from importlib.metadata import version

from airflow_azure_wi.errors import DeploymentError
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import quoted

logger = logging.getLogger(__name__)

_SWITCH = option_name("identity_binding")
# The first release of azure-identity whose WorkloadIdentityCredential takes enable_azure_proxy.
_NEEDED = (1, 27)


def check(environment: Mapping[str, str]) -> None:
    """Check what azure-identity would not say, or not in these words.

    :param environment: where AKS says how its proxy is reached.
    :raises DeploymentError: if the installed azure-identity has no identity bindings, or the environment contradicts
        itself.
    """
    installed = version("azure-identity")
    if tuple(int(part) for part in installed.split(".")[:2]) < _NEEDED:
        raise DeploymentError(
            f"{_SWITCH} is True, but azure-identity {installed} does not support identity bindings. Add "
            "azure-identity>=1.27 to the requirements of the deployment."
        )
    proxy = environment.get("AZURE_KUBERNETES_TOKEN_PROXY")
    ca_file, ca_data = (environment.get(f"AZURE_KUBERNETES_CA_{kind}") for kind in ("FILE", "DATA"))
    problems = []
    if proxy and not proxy.startswith("https://"):
        problems.append(f"AZURE_KUBERNETES_TOKEN_PROXY is {quoted(proxy)}, expected an https URL")
    if ca_file and ca_data:
        problems.append("AZURE_KUBERNETES_CA_FILE and AZURE_KUBERNETES_CA_DATA are both set, expected one of them")
    if ca_file and not os.path.isfile(ca_file):
        problems.append(f"AZURE_KUBERNETES_CA_FILE is {quoted(ca_file)}, where there is no file")
    if not proxy and (ca_file or ca_data or environment.get("AZURE_KUBERNETES_SNI_NAME")):
        problems.append("AZURE_KUBERNETES_TOKEN_PROXY is not set, but other variables of identity bindings are")
    if problems:
        raise DeploymentError(
            f"{_SWITCH} is True, but the environment of this workload does not fit: {'; '.join(problems)}. AKS sets "
            'these variables in pods with the annotation azure.workload.identity/use-identity-binding: "true".'
        )
    if not proxy:
        logger.warning(
            "%s is True, but AZURE_KUBERNETES_TOKEN_PROXY is not set in this process: tokens are exchanged with "
            "Microsoft Entra ID itself, which wants a federated identity credential for this workload",
            _SWITCH,
        )
