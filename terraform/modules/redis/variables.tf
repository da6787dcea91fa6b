variable "name" {
  description = "Name of the server, and the beginning of its secrets' names."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "name: 1 to 40 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "region" {
  description = "Where the server runs: the cluster's region."
  type        = string
}

variable "network_id" {
  description = "The network whose peering with Google's services reaches the server."
  type        = string
}

variable "memory_gb" {
  description = "Memory of the server, GiB."
  type        = number

  validation {
    condition     = var.memory_gb >= 1 && var.memory_gb <= 300 && floor(var.memory_gb) == var.memory_gb
    error_message = "memory_gb: a whole number from 1 to 300."
  }
}

variable "snapshots" {
  description = "Whether the data is written to disk every hour: for jobs, not for counters."
  type        = bool
}

variable "ca_path" {
  description = "Where pods find the file of the server's authorities; the URL names it."
  type        = string

  validation {
    condition     = can(regex("^/[-a-zA-Z0-9._/]+$", var.ca_path))
    error_message = "ca_path: the full path of a file, of letters, digits and ._-/ only."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to remove the server."
  type        = bool
  default     = true
}
