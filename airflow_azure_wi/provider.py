"""What Airflow reads when it starts: data only, nothing is imported.

The fields of the connection and the options of the configuration are described here, once. Forms, parsers, messages and
the documentation are made from these descriptions.
"""

from typing import Any, NamedTuple

CONNECTION_TYPE = "azure_workload_identity"
HOOK_CLASS = "airflow_azure_wi.hooks.azure_workload_identity.AzureWorkloadIdentityHook"
HOOK_NAME = "Azure Workload Identity"

# The id that README and documentation give a connection.
README_CONNECTION = "azure_wi"

# What Astro's Environment Manager makes, and the stock provider calls Azure.
STOCK_CONNECTION_TYPE = "azure"

# The section of Airflow's configuration.
CONFIG_SECTION = "azure_workload_identity"

GUID = "GUID"
GUID_OR_DOMAIN = "GUID or domain name"


class Field(NamedTuple):
    """A field of the connection, and of its form.

    :param meaning: what it is, in messages.
    :param printed_by: the command of the Azure CLI that prints it.
    :param accepts: how it is validated: GUID or GUID_OR_DOMAIN.
    :param example: the example of the form's placeholder, and of messages.
    :param other_names: what else it is called in an extra; letter case, underscores and hyphens do not matter.
    :param variable: the environment variable that is used if the connection does not have it.
    """

    label: str
    description: str
    meaning: str
    printed_by: str
    accepts: str
    example: str
    other_names: tuple[str, ...] = ()
    variable: str | None = None
    is_required: bool = True


FIELDS = {
    "clientId": Field(
        label="Client ID",
        description='The client id of the managed identity: clientId in what "az identity show" prints, Client ID on '
        "its overview page in the Azure portal. Neither the principal id nor a secret.",
        meaning="the client id of the managed identity",
        printed_by="`clientId` in the output of `az identity show`",
        accepts=GUID,
        example="6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
        other_names=("managed_identity_client_id",),
        variable="AZURE_CLIENT_ID",
    ),
    "tenantId": Field(
        label="Tenant ID",
        description='The Microsoft Entra tenant of the managed identity: tenantId in what "az identity show" prints, '
        "Tenant ID under Properties in the Azure portal. A GUID or a domain name.",
        meaning="the tenant of the managed identity",
        printed_by="`tenantId` in the output of `az identity show`",
        accepts=GUID_OR_DOMAIN,
        example="72f988bf-86f1-41af-91ab-2d7cd011db47",
        other_names=("workload_identity_tenant_id",),
        variable="AZURE_TENANT_ID",
    ),
    "subscriptionId": Field(
        label="Subscription ID",
        description='Only for services that are managed by subscription, such as Data Factory: "az account show '
        '--query id", or Subscription ID on the overview page of the service.',
        meaning="the subscription",
        printed_by="`az account show --query id`",
        accepts=GUID,
        example="0b1f6471-1bf0-4dda-aec3-cb9272f09590",
        is_required=False,
    ),
}


# What else the form of Airflow needs to know.
FORM: dict[str, Any] = {
    "hidden-fields": ["host", "schema", "login", "password", "port"],
    "relabeling": {},
    "placeholders": {name: f"e.g. {field.example}" for name, field in FIELDS.items()},
}


class Option(NamedTuple):
    """An option of the configuration.

    :param default: an empty one means that it is not set.
    :param allowed: the values that it takes, in lower case; empty if it takes any text.
    """

    description: str
    example: str
    default: str = ""
    type: str = "string"
    allowed: tuple[str, ...] = ()
    version_added: str = "0.1.0"


# The classes of azure-identity; AZURE_TOKEN_CREDENTIALS takes their names in all languages.
DEVELOPMENT_CREDENTIALS = {
    "azure_cli": "AzureCliCredential",
    "azure_developer_cli": "AzureDeveloperCliCredential",
    "environment": "EnvironmentCredential",
}

OPTIONS = {
    "federated_token_file": Option(
        "The file that the federated token is projected into, used where the environment variable "
        "AZURE_FEDERATED_TOKEN_FILE is not set. When empty, it is the path that the AKS webhook projects to.",
        example="/var/run/secrets/azure/tokens/azure-identity-token",
    ),
    "token_cache": Option(
        "Where access tokens are kept until they expire: `memory`, for each process its own, or `disk`, for all "
        "processes of a machine that run as the same user. On disk they are plain files that only that user can read, "
        "and whoever reads them is the identity until they expire.",
        example="disk",
        default="memory",
        allowed=("memory", "disk"),
    ),
    "token_cache_folder": Option(
        "The folder for `token_cache = disk`, which is made with mode 0700. When empty, it is airflow-azure-wi in "
        "XDG_RUNTIME_DIR, otherwise /dev/shm/airflow-azure-wi-UID. Another one should be in memory as well. It is used "
        "only if no other user can write to it or to a folder above it.",
        example="/run/airflow-azure-wi",
    ),
    "identity_binding": Option(
        "Whether to exchange tokens through the proxy of AKS identity bindings, by which one managed identity serves "
        "any number of clusters. AKS says where it is, in AZURE_KUBERNETES_TOKEN_PROXY. Needs azure-identity 1.27 or "
        "later, and what https://learn.microsoft.com/azure/aks/identity-bindings sets up.",
        example="True",
        default="False",
        type="boolean",
    ),
    "development_credential": Option(
        "For laptops only: how a developer signs in where there is no federated token file. `azure_cli` (`az login`), "
        "`azure_developer_cli` (`azd auth login`) or `environment` (azure-identity's EnvironmentCredential), in the "
        "tenant of the connection. When empty, and wherever there is a federated token file, only the connection's "
        "identity signs in.",
        example="azure_cli",
        allowed=tuple(DEVELOPMENT_CREDENTIALS),
    ),
    "bridge_stock_hooks": Option(
        "Whether the hooks, operators, sensors and triggers of the stock Azure provider can use connections of this "
        "type. With False, nothing of Airflow or of that provider is replaced.",
        example="False",
        default="True",
        type="boolean",
    ),
    "database_sign_in": Option(
        "Whether Airflow signs in to its own database with access tokens: for each new connection to the PostgreSQL "
        "server of `[database] sql_alchemy_conn`, and to that of `[celery] result_backend`, as the user in that URL, "
        "which needs no password. Only over TLS.",
        example="True",
        default="False",
        type="boolean",
    ),
    "database_client_id": Option(
        "The client id of the identity that signs in to Airflow's database, if AZURE_CLIENT_ID does not name it.",
        example="6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
    ),
    "database_tenant_id": Option(
        "The tenant of that identity, if AZURE_TENANT_ID does not name it: a GUID or a domain name.",
        example="72f988bf-86f1-41af-91ab-2d7cd011db47",
    ),
    "serve_stock_connections": Option(
        "Whether stock hooks also sign in with this package where they are given the plain id of a stock connection of "
        "type `azure` that names a workload identity, as Astro's Environment Manager makes them: with "
        "managed_identity_client_id and workload_identity_tenant_id, and without a secret. With False, such a "
        "connection is served only where the call names its endpoint with `at()`.",
        example="True",
        default="False",
        type="boolean",
    ),
}


def option_name(name: str) -> str:
    """Return what an option is called in messages."""
    return f"[{CONFIG_SECTION}] {name}"


def option_variable(name: str) -> str:
    """Return the environment variable that sets an option, by Airflow's rule."""
    return f"AIRFLOW__{CONFIG_SECTION}__{name}".upper()


def get_provider_info() -> dict[str, Any]:
    """Return the provider info: https://airflow.apache.org/docs/apache-airflow-providers/howto/create-custom-providers.html."""
    return {
        "package-name": "airflow-azure-wi",
        "name": "Azure Workload Identity",
        "description": "One connection for every Azure service, with no secret in it.",
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": HOOK_CLASS,
                "hook-name": HOOK_NAME,
                # Read by Airflow 3.2 and later; before, the hook says the same (airflow_compat).
                "conn-fields": {name: _for_the_form(field) for name, field in FIELDS.items()},
                "ui-field-behaviour": FORM,
            }
        ],
        # Airflow 3.2 and later.
        "cli": ["airflow_azure_wi.cli.get_cli_commands"],
        "config": {
            CONFIG_SECTION: {
                "description": "Where workload identity finds what the deployment provides, and what it keeps.",
                "options": {name: _for_the_reference(option) for name, option in OPTIONS.items()},
            },
        },
    }


def _for_the_form(field: Field) -> dict[str, Any]:
    # The form of Airflow 3.3 requires a field of type "string"; ["string", "null"] makes it optional.
    schema = {"type": "string" if field.is_required else ["string", "null"]}
    return {"label": field.label, "description": field.description, "schema": schema}


def _for_the_reference(option: Option) -> dict[str, Any]:
    described = option._asdict()
    del described["allowed"]
    return described
