variable "project_id" {
  description = "The cluster's project."
  type        = string
}

variable "namespace" {
  description = "The namespace of the pods."
  type        = string
  default     = "imagen"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: 1 to 63 lower-case letters, digits and hyphens."
  }
}

variable "workloads" {
  description = "Who runs as what: for each, the Kubernetes service account of its pods, whether it reads and writes files of jobs, and the secrets it may read, as names of your own to secret ids."
  type = map(object({
    kubernetes_service_account = string
    files                      = optional(bool, false)
    secrets                    = optional(map(string), {})
  }))

  validation {
    condition     = alltrue([for name in keys(var.workloads) : can(regex("^[a-z]([-a-z0-9]{0,20}[a-z0-9])?$", name))])
    error_message = "workloads: a name has 1 to 22 lower-case letters, digits and hyphens, a letter first."
  }

  validation {
    condition     = alltrue([for it in values(var.workloads) : can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", it.kubernetes_service_account))])
    error_message = "workloads: kubernetes_service_account has 1 to 63 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = length(distinct(values(var.workloads)[*].kubernetes_service_account)) == length(var.workloads)
    error_message = "workloads: two of them share a Kubernetes service account; it would have the rights of both."
  }
}

variable "files_bucket" {
  description = "The bucket of uploads and results."
  type        = string
}
