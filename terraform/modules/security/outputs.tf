output "policy_name" {
  description = "For GCPBackendPolicy: spec.default.securityPolicy."
  value       = google_compute_security_policy.api.name
}

output "policy_id" {
  description = "For backend services that Terraform owns."
  value       = google_compute_security_policy.api.id
}
