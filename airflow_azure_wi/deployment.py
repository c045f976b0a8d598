"""Where: what the deployment, and never a connection, decides about token exchanges."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from airflow_azure_wi.clouds import Cloud
from airflow_azure_wi.errors import DeploymentError

CONFIG_SECTION = "azure_workload_identity"
TOKEN_FILE_OPTION = "federated_token_file"

# Where the AKS webhook projects it:
# https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
STANDARD_TOKEN_FILE = "/var/run/secrets/azure/tokens/azure-identity-token"


@dataclass(frozen=True)
class Deployment:
    """The file that holds the federated token and the host that it is sent to.

    :param token_file: the federated token's file.
    :param token_file_named_by: what named that file, for messages.
    :param authority_host: the https URL to send the token to, or None for that of the identity's cloud.
    """

    token_file: Path
    token_file_named_by: str
    authority_host: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], configured_token_file: str | None = None) -> "Deployment":
        """Read the deployment from its environment variables and Airflow's configuration.

        :param environment: AZURE_FEDERATED_TOKEN_FILE and AZURE_AUTHORITY_HOST are read from it.
        :param configured_token_file: ``[azure_workload_identity] federated_token_file``, used where
            AZURE_FEDERATED_TOKEN_FILE is not set. Without both, the AKS webhook's standard path it is.
        :raises DeploymentError: if AZURE_AUTHORITY_HOST is not an https host.
        """
        token_file, named_by = _token_file(environment, configured_token_file)
        return cls(Path(token_file), named_by, _authority_host(environment.get("AZURE_AUTHORITY_HOST", "")))

    def authority_host_for(self, cloud: Cloud) -> str:
        """Return the https URL, without a trailing slash, that exchanges tokens for identities of a cloud."""
        return self.authority_host or cloud.authority_host


def _token_file(environment: Mapping[str, str], configured: str | None) -> tuple[str, str]:
    if from_environment := environment.get("AZURE_FEDERATED_TOKEN_FILE", "").strip():
        return from_environment, "the environment variable AZURE_FEDERATED_TOKEN_FILE"
    if configured and configured.strip():
        return configured.strip(), f"the option [{CONFIG_SECTION}] {TOKEN_FILE_OPTION} of Airflow's configuration"
    return STANDARD_TOKEN_FILE, "the standard path of the AKS webhook, as AZURE_FEDERATED_TOKEN_FILE is not set"


def _authority_host(value: str) -> str | None:
    value = value.strip()
    if not value:
        return None
    url = value if "://" in value else f"https://{value}"
    if not _is_https_host(url):
        raise DeploymentError(
            f"The environment variable AZURE_AUTHORITY_HOST is {value!r}, expected an https URL of a host such as "
            "https://login.microsoftonline.com/. Correct it in the deployment, or unset it to use the authority host "
            "of the connection's cloud."
        )
    return url.rstrip("/")


def _is_https_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError where it is no number
    except ValueError:
        return False
    is_plain_host = bool(parts.hostname) and "@" not in parts.netloc and not parts.query and not parts.fragment
    return parts.scheme == "https" and is_plain_host and not any(map(str.isspace, url))
