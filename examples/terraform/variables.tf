variable "identity_name" {
  description = "The name of the managed identity."
  type        = string
  default     = "airflow"
}

variable "resource_group_name" {
  description = "The resource group that the identity is created in."
  type        = string
}

variable "location" {
  description = "The region of the identity."
  type        = string
}

variable "deployments" {
  description = "The Airflow deployments that sign in, each with the OIDC issuer of its cluster, exactly as its tokens have it."
  type = list(object({
    issuer           = string
    namespace        = string
    service_accounts = list(string)
  }))
}

variable "roles" {
  description = "What the identity may do: a name of your choice, the role by Microsoft's name, and where."
  type = map(object({
    role  = string
    scope = string
  }))
  default = {}
}

variable "audience" {
  description = "The audience of the federated tokens; another cloud has another."
  type        = string
  default     = "api://AzureADTokenExchange"
}
