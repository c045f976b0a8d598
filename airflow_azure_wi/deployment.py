"""Where: what the deployment, and never a connection, decides about token exchanges."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from airflow_azure_wi.clouds import Cloud
from airflow_azure_wi.endpoints import split_https_url
from airflow_azure_wi.errors import DeploymentError
from airflow_azure_wi.provider import OPTIONS, option_name
from airflow_azure_wi.redaction import holds_secret, quoted

TOKEN_FILE_VARIABLE, AUTHORITY_VARIABLE = "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"

# All that a deployment reads of its environment.
VARIABLES = (TOKEN_FILE_VARIABLE, AUTHORITY_VARIABLE, "XDG_RUNTIME_DIR")

# Where the AKS webhook projects it:
# https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
STANDARD_TOKEN_FILE = "/var/run/secrets/azure/tokens/azure-identity-token"
_WEBHOOK = f"the standard path of the AKS webhook, as {TOKEN_FILE_VARIABLE} is not set"

# A tmpfs that any user may write to, with the sticky bit; in Kubernetes each pod has its own. None on macOS.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is checked by private_folder
_FOLDER_NAME = "airflow-azure-wi"

DEVELOPMENT_OPTION = option_name("development_credential")

# What Airflow takes for a boolean.
_TRUE, _FALSE = {"true", "1", "t"}, {"false", "0", "f"}

Value = TypeVar("Value")


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
    :param problems: what is wrong, by the field that could not be read, and has its default instead.
    """

    token_file: Path = Path(STANDARD_TOKEN_FILE)
    token_file_named_by: str = _WEBHOOK
    authority_host: str | None = None
    token_cache_folder: Path | None = None
    identity_binding: bool = False
    development_credential: str | None = None
    problems: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, environment: Mapping[str, str], options: Mapping[str, str] | None = None) -> "Deployment":
        """Read the deployment from its environment variables and Airflow's configuration.

        :param environment: AZURE_FEDERATED_TOKEN_FILE and AZURE_AUTHORITY_HOST are read from it.
        :param options: the texts of ``airflow_azure_wi.provider.OPTIONS`` that are set. ``federated_token_file``
            is used where AZURE_FEDERATED_TOKEN_FILE is not set; without both, the AKS webhook's standard path is.
        :raises DeploymentError: names everything that is wrong, at once.
        """
        deployment = cls.with_problems(environment, options)
        if deployment.problems:
            raise DeploymentError("\n".join(deployment.problems.values()))
        return deployment

    @classmethod
    def with_problems(cls, environment: Mapping[str, str], options: Mapping[str, str] | None = None) -> "Deployment":
        """Read the deployment as :meth:`of` does, and keep what is wrong with a field as one of its problems."""
        options = options or {}
        problems: dict[str, str] = {}

        def read(name: str, reader: Callable[[Mapping[str, str], Mapping[str, str]], Value], default: Value) -> Value:
            try:
                return reader(environment, options)
            except DeploymentError as error:
                problems[name] = str(error)
                return default

        token_file, named_by = read("token_file", _token_file, (STANDARD_TOKEN_FILE, _WEBHOOK))
        return cls(
            Path(token_file),
            named_by,
            read("authority_host", _authority_host, None),
            read("token_cache_folder", _token_cache_folder, None),
            read("identity_binding", _identity_binding, False),
            read("development_credential", _development_credential, None),
            problems,
        )

    def authority_host_for(self, cloud: Cloud) -> str:
        """Return the https URL, without a trailing slash, that exchanges tokens for identities of a cloud."""
        return self.authority_host or cloud.authority_host

    def development_credential_in_use(self) -> str | None:
        """Return how a developer signs in here; None, whatever is configured, where there is a federated token file."""
        return self.development_credential if _is_missing(self.token_file) else None


def _token_file(environment: Mapping[str, str], options: Mapping[str, str]) -> tuple[str, str]:
    option = "federated_token_file"
    for path, named_by in (
        (environment.get(TOKEN_FILE_VARIABLE, "").strip(), f"the environment variable {TOKEN_FILE_VARIABLE}"),
        (options.get(option, "").strip(), f"{option_name(option)} of Airflow's configuration"),
    ):
        if path and holds_secret(path):
            raise DeploymentError(
                f"{named_by[0].upper()}{named_by[1:]} is {quoted(path)}, expected the path of the file that holds the "
                "federated token. Correct it in the deployment."
            )
        if path:
            return path, named_by
    return STANDARD_TOKEN_FILE, _WEBHOOK


def _authority_host(environment: Mapping[str, str], _: Mapping[str, str]) -> str | None:
    value = environment.get(AUTHORITY_VARIABLE, "").strip()
    if not value:
        return None
    url = (value if "://" in value else f"https://{value}").rstrip("/")
    parts = split_https_url(url)
    if parts is None or parts.path or parts.query or parts.fragment or holds_secret(value):
        raise DeploymentError(
            f"The environment variable {AUTHORITY_VARIABLE} is {quoted(value)}, expected an https URL of a host such "
            "as https://login.microsoftonline.com/, without a tenant or another path. Correct it in the deployment, or "
            "unset it to use the authority host of the connection's cloud."
        )
    return url


def _token_cache_folder(environment: Mapping[str, str], options: Mapping[str, str]) -> Path | None:
    if _choice("token_cache", options) != "disk":
        return None
    option, folder = "token_cache_folder", options.get("token_cache_folder", "").strip()
    chosen = Path(folder) if folder else default_token_cache_folder(environment, os.geteuid())
    if chosen is None or not chosen.is_absolute() or "\0" in folder or holds_secret(folder):
        raise DeploymentError(
            f"{option_name(option)} is {quoted(folder)}, expected the absolute path of a folder in memory, because "
            f"{option_name('token_cache')} is disk. Where there is XDG_RUNTIME_DIR or {SHARED_MEMORY}, it may be left "
            "empty."
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


def _identity_binding(_: Mapping[str, str], options: Mapping[str, str]) -> bool:
    value = options.get("identity_binding", "")
    word = value.strip().lower()
    if word not in {"", *_TRUE, *_FALSE}:
        raise DeploymentError(f"{option_name('identity_binding')} is {quoted(value)}, expected True or False.")
    return word in _TRUE


def _development_credential(_: Mapping[str, str], options: Mapping[str, str]) -> str | None:
    return _choice("development_credential", options) or None


def _choice(name: str, options: Mapping[str, str]) -> str:
    option, value = OPTIONS[name], options.get(name, "")
    word = value.strip().lower() or option.default
    if word and word not in option.allowed:
        expected = " or ".join(option.allowed) if option.default else f"one of {', '.join(option.allowed)}, or nothing"
        raise DeploymentError(f"{option_name(name)} is {quoted(value)}, expected {expected}.")
    return word


def _is_missing(file: Path) -> bool:
    """Whether there certainly is no such file: one that cannot be looked at may be there, and so is a dangling link."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
