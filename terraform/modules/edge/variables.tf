variable "name" {
  description = "Name of the address, the TLS policy and the certificate map; Gateway and GCPGatewayPolicy refer to them."
  type        = string
  default     = "imagen"

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$", var.name))
    error_message = "name: 1 to 42 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "domains" {
  description = "The names under which the API is reached."
  type        = set(string)

  validation {
    condition     = length(var.domains) > 0
    error_message = "domains: at least one."
  }

  validation {
    condition     = alltrue([for domain in var.domains : can(regex("^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z]{2,63}$", domain))])
    error_message = "domains: full names in lower case, such as api.example.com; no wildcard, no dot at the end."
  }
}
