"""What Airflow reads when it starts: data only, nothing is imported.

The connection form is described here once. Airflow 3.2 and later read it as it stands; for 2.11 to 3.1 the hook turns
the same description into form widgets.
"""

from typing import Any

CONNECTION_TYPE = "azure_workload_identity"
HOOK_CLASS = "airflow_azure_wi.hooks.azure_workload_identity.AzureWorkloadIdentityHook"
HOOK_NAME = "Azure Workload Identity"

# What Astro's Environment Manager makes, and the stock provider calls Azure.
STOCK_CONNECTION_TYPE = "azure"

# A field of schema type "string" is required by the form of Airflow 3.3; ["string", "null"] makes it optional.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "clientId": {
        "label": "Client ID",
        "description": 'The client id of the managed identity: clientId in what "az identity show" prints, '
        "Client ID on its overview page in the Azure portal. Neither the principal id nor a secret.",
        "schema": {"type": "string"},
    },
    "tenantId": {
        "label": "Tenant ID",
        "description": 'The Microsoft Entra tenant of the managed identity: tenantId in what "az identity show" '
        "prints, Tenant ID under Properties in the Azure portal. A GUID or a domain name.",
        "schema": {"type": "string"},
    },
    "subscriptionId": {
        "label": "Subscription ID",
        "description": "Only for services that are managed by subscription, such as Data Factory: "
        '"az account show --query id", or Subscription ID on the overview page of the service.',
        "schema": {"type": ["string", "null"]},
    },
}

FORM_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["host", "schema", "login", "password", "port"],
    "relabeling": {},
    "placeholders": {
        "clientId": "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10",
        "tenantId": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "subscriptionId": "0b1f6471-1bf0-4dda-aec3-cb9272f09590",
    },
}


CONFIG_OPTIONS: dict[str, dict[str, Any]] = {
    "federated_token_file": {
        "description": "The file that the federated token is projected into, used where the environment variable "
        "AZURE_FEDERATED_TOKEN_FILE is not set. When empty, it is the path that the AKS webhook projects to.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/var/run/secrets/azure/tokens/azure-identity-token",
        "default": "",
    },
    "token_cache": {
        "description": "Where access tokens are kept until they expire: `memory`, for each process its own, or "
        "`disk`, for all processes of a machine that run as the same user. On disk they are plain files that only "
        "that user can read, and whoever reads them is the identity until they expire.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "disk",
        "default": "memory",
    },
    "token_cache_folder": {
        "description": "The folder for `token_cache = disk`, which is made with mode 0700. When empty, it is "
        "airflow-azure-wi in XDG_RUNTIME_DIR, otherwise /dev/shm/airflow-azure-wi-UID. Another one should be in memory "
        "as well. It is used only if no other user can write to it or to a folder above it.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/run/airflow-azure-wi",
        "default": "",
    },
    "identity_binding": {
        "description": "Whether to exchange tokens through the proxy of AKS identity bindings, by which one managed "
        "identity serves any number of clusters. AKS says where it is, in AZURE_KUBERNETES_TOKEN_PROXY. Needs "
        "azure-identity 1.27 or later, and what https://learn.microsoft.com/azure/aks/identity-bindings sets up.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": "True",
        "default": "False",
    },
    "development_credential": {
        "description": "For laptops only: how a developer signs in where there is no federated token file. "
        "`azure_cli` (`az login`), `azure_developer_cli` (`azd auth login`) or `environment` (azure-identity's "
        "EnvironmentCredential), in the tenant of the connection. When empty, and wherever there is a federated token "
        "file, only the connection's identity signs in.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "azure_cli",
        "default": "",
    },
    "bridge_stock_hooks": {
        "description": "Whether the hooks, operators, sensors and triggers of the stock Azure provider can use "
        "connections of this type. With False, nothing of Airflow or of that provider is replaced.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": "False",
        "default": "True",
    },
    "serve_stock_connections": {
        "description": "Whether stock hooks also sign in with this package where they are given the plain id of a "
        "stock connection of type `azure` that names a workload identity, as Astro's Environment Manager makes them: "
        "with managed_identity_client_id and workload_identity_tenant_id, and without a secret. With False, such a "
        "connection is served only where the call names its endpoint with `at()`.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": "True",
        "default": "False",
    },
}


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
                "conn-fields": CONNECTION_FIELDS,
                "ui-field-behaviour": FORM_BEHAVIOUR,
            }
        ],
        # Airflow 3.2 and later.
        "cli": ["airflow_azure_wi.cli.airflow_commands.get_cli_commands"],
        "config": {
            "azure_workload_identity": {
                "description": "Where workload identity finds what the deployment provides, and what it keeps.",
                "options": CONFIG_OPTIONS,
            },
        },
    }
