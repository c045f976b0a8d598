"""Where: what the deployment, and never a connection, decides about token exchanges."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from airflow_azure_wi.clouds import Cloud
from airflow_azure_wi.endpoints import split_https_url
from airflow_azure_wi.errors import DeploymentError
from airflow_azure_wi.redaction import holds_secret, quoted

CONFIG_SECTION = "azure_workload_identity"

# Where the AKS webhook projects it:
# https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
STANDARD_TOKEN_FILE = "/var/run/secrets/azure/tokens/azure-identity-token"

# A tmpfs that any user may write to, with the sticky bit; in Kubernetes each pod has its own. None on macOS.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is checked by private_folder
_FOLDER_NAME = "airflow-azure-wi"

DEVELOPMENT_OPTION = f"[{CONFIG_SECTION}] development_credential"
# The classes of azure-identity; AZURE_TOKEN_CREDENTIALS takes their names in all languages.
DEVELOPMENT_CREDENTIALS = {
    "azure_cli": "AzureCliCredential",
    "azure_developer_cli": "AzureDeveloperCliCredential",
    "environment": "EnvironmentCredential",
}


class Options(NamedTuple):
    """The options of the section ``[azure_workload_identity]``, as texts; empty ones are not set.

    :param federated_token_file: the federated token's file, where AZURE_FEDERATED_TOKEN_FILE does not name it.
    :param token_cache: ``memory`` or ``disk``.
    :param token_cache_folder: the folder for ``disk``, where it is not to be the default one.
    :param identity_binding: whether to exchange tokens through the proxy of AKS identity bindings.
    :param development_credential: how a developer signs in where there is no federated token, if at all.
    """

    federated_token_file: str = ""
    token_cache: str = ""
    token_cache_folder: str = ""
    identity_binding: str = ""
    development_credential: str = ""


@dataclass(frozen=True)
class Deployment:
    """The file that holds the federated token, the host that it is sent to, and what is kept in between.

    :param token_file: the federated token's file.
    :param token_file_named_by: what named that file, for messages.
    :param authority_host: the https URL to send the token to, or None for that of the identity's cloud.
    :param token_cache_folder: the folder in which the processes of a machine share access tokens, or None to keep
        them in the memory of each.
    :param identity_binding: whether to go through the proxy of AKS identity bindings.
    :param development_credential: how a developer signs in where there is no federated token, or None for not at all.
    """

    token_file: Path
    token_file_named_by: str
    authority_host: str | None = None
    token_cache_folder: Path | None = None
    identity_binding: bool = False
    development_credential: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], options: Options | None = None) -> "Deployment":
        """Read the deployment from its environment variables and Airflow's configuration.

        :param environment: AZURE_FEDERATED_TOKEN_FILE and AZURE_AUTHORITY_HOST are read from it.
        :param options: Airflow's configuration. Its ``federated_token_file`` is used where
            AZURE_FEDERATED_TOKEN_FILE is not set; without both, the AKS webhook's standard path is.
        :raises DeploymentError: names everything that is wrong, at once.
        """
        options = options or Options()
        problems: list[str] = []
        token_file, named_by = _token_file(environment, options.federated_token_file, problems)
        deployment = cls(
            Path(token_file),
            named_by,
            _authority_host(environment.get("AZURE_AUTHORITY_HOST", ""), problems),
            _token_cache_folder(options, environment, problems),
            _identity_binding(options.identity_binding, problems),
            _development_credential(options.development_credential, problems),
        )
        if problems:
            raise DeploymentError("\n".join(problems))
        return deployment

    def authority_host_for(self, cloud: Cloud) -> str:
        """Return the https URL, without a trailing slash, that exchanges tokens for identities of a cloud."""
        return self.authority_host or cloud.authority_host

    def development_credential_in_use(self) -> str | None:
        """Return how a developer signs in here; None, whatever is configured, where there is a federated token file."""
        return self.development_credential if _is_missing(self.token_file) else None


def _token_file(environment: Mapping[str, str], configured: str, problems: list[str]) -> tuple[str, str]:
    for path, named_by in (
        (
            environment.get("AZURE_FEDERATED_TOKEN_FILE", "").strip(),
            "the environment variable AZURE_FEDERATED_TOKEN_FILE",
        ),
        (configured.strip(), f"{_option('federated_token_file')} of Airflow's configuration"),
    ):
        if path and holds_secret(path):
            problems.append(
                f"{named_by[0].upper()}{named_by[1:]} is {quoted(path)}, expected the path of the file that holds the "
                "federated token. Correct it in the deployment."
            )
        if path:
            return path, named_by
    return STANDARD_TOKEN_FILE, "the standard path of the AKS webhook, as AZURE_FEDERATED_TOKEN_FILE is not set"


def _authority_host(value: str, problems: list[str]) -> str | None:
    value = value.strip()
    if not value:
        return None
    url = (value if "://" in value else f"https://{value}").rstrip("/")
    parts = split_https_url(url)
    if parts is None or parts.path or parts.query or parts.fragment or holds_secret(value):
        problems.append(
            f"The environment variable AZURE_AUTHORITY_HOST is {quoted(value)}, expected an https URL of a host such "
            "as https://login.microsoftonline.com/, without a tenant or another path. Correct it in the deployment, or "
            "unset it to use the authority host of the connection's cloud."
        )
    return url


def _token_cache_folder(options: Options, environment: Mapping[str, str], problems: list[str]) -> Path | None:
    kind, folder = options.token_cache.strip().lower(), options.token_cache_folder.strip()
    if kind not in {"", "memory", "disk"}:
        problems.append(f"{_option('token_cache')} is {quoted(options.token_cache)}, expected memory or disk.")
    if kind != "disk":
        return None
    chosen = Path(folder) if folder else default_token_cache_folder(environment, os.geteuid())
    if chosen is None or not chosen.is_absolute() or "\0" in folder or holds_secret(folder):
        problems.append(
            f"{_option('token_cache_folder')} is {quoted(folder)}, expected the absolute path of a folder in memory, "
            f"because {_option('token_cache')} is disk. Where there is XDG_RUNTIME_DIR or {SHARED_MEMORY}, it may be "
            "left empty."
        )
    return chosen


def default_token_cache_folder(
    environment: Mapping[str, str], user: int, shared_memory: Path = SHARED_MEMORY
) -> Path | None:
    """Return the folder for access tokens on a tmpfs, or None where there is none; whether it is safe is seen later.

    :param environment: XDG_RUNTIME_DIR is used if it is a folder of this user: ``su`` passes on that of another.
    :param user: the id of the user of this process.
    :param shared_memory: where everybody may make a folder, in the memory of the machine or the pod.
    """
    runtime = Path(environment.get("XDG_RUNTIME_DIR", "").strip())
    if runtime.is_absolute() and _owner_of_folder(runtime) == user:
        return runtime / _FOLDER_NAME
    if _owner_of_folder(shared_memory) is not None:
        return shared_memory / f"{_FOLDER_NAME}-{user}"
    return None


def _owner_of_folder(path: Path) -> int | None:
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return None
    return found.st_uid if stat.S_ISDIR(found.st_mode) else None


def _identity_binding(value: str, problems: list[str]) -> bool:
    word = value.strip().lower()
    if word not in {"", "true", "false", "1", "0", "t", "f"}:
        problems.append(f"{_option('identity_binding')} is {quoted(value)}, expected True or False.")
    return word in {"true", "1", "t"}


def _development_credential(value: str, problems: list[str]) -> str | None:
    word = value.strip().lower()
    if word and word not in DEVELOPMENT_CREDENTIALS:
        problems.append(
            f"{DEVELOPMENT_OPTION} is {quoted(value)}, expected one of {', '.join(DEVELOPMENT_CREDENTIALS)}, or "
            "nothing where workloads run."
        )
    return word or None


def _is_missing(file: Path) -> bool:
    """Whether there certainly is no such file: one that cannot be looked at may be there, and so is a dangling link."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _option(name: str) -> str:
    return f"[{CONFIG_SECTION}] {name}"
