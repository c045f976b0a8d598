# What `airflow-azure-wi connection` reads: terraform output -json | airflow-azure-wi connection - --conn-id azure_wi

output "client_id" {
  value = azurerm_user_assigned_identity.airflow.client_id
}

output "tenant_id" {
  value = azurerm_user_assigned_identity.airflow.tenant_id
}

output "principal_id" {
  value = azurerm_user_assigned_identity.airflow.principal_id
}
