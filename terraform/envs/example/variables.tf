variable "project_id" {
  description = "The project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: the id, not the number or the display name."
  }
}

variable "region" {
  description = "Where cluster, servers and bucket are."
  type        = string
  default     = "europe-west1"
}

variable "domains" {
  description = "The names under which the API is reached."
  type        = set(string)
}

variable "namespace" {
  description = "The namespace of the pods."
  type        = string
  default     = "imagen"
}

variable "address_lists" {
  description = "Addresses that get 403: see the security module."
  type = map(object({
    ranges  = list(string)
    preview = optional(bool, false)
  }))
  default = {}
}

variable "waf_enforced" {
  description = "Rule sets that have left preview, such as sqli-v422-stable."
  type        = set(string)
  default     = ["cve-canary"]
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to remove the cluster and the servers, and files with the bucket."
  type        = bool
  default     = true
}
