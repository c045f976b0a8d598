# A managed identity for Airflow, linked to the service accounts of its deployments, with its roles.

terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # From 4.66 on, a federated identity credential names its identity by user_assigned_identity_id.
      version = ">= 4.66"
    }
  }
}

locals {
  # One entry for each service account: {"airflow-airflow-worker" = {issuer = ..., subject = ...}, ...}
  credentials = merge([
    for deployment in var.deployments : {
      for account in deployment.service_accounts :
      "${deployment.namespace}-${account}" => {
        issuer  = deployment.issuer
        subject = "system:serviceaccount:${deployment.namespace}:${account}"
      }
    }
  ]...)
}

resource "azurerm_user_assigned_identity" "airflow" {
  name                = var.identity_name
  resource_group_name = var.resource_group_name
  location            = var.location
}

# Azure refuses writes to one identity that overlap: run `terraform apply -parallelism=1`.
resource "azurerm_federated_identity_credential" "airflow" {
  for_each = local.credentials

  name                      = each.key
  user_assigned_identity_id = azurerm_user_assigned_identity.airflow.id
  issuer                    = each.value.issuer
  subject                   = each.value.subject
  audience                  = [var.audience]

  lifecycle {
    precondition {
      condition     = length(local.credentials) <= 20
      error_message = "An identity holds at most 20 federated identity credentials."
    }
  }
}

resource "azurerm_role_assignment" "airflow" {
  for_each = var.roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.airflow.principal_id
  principal_type       = "ServicePrincipal"
}
