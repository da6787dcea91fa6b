output "address_name" {
  description = "For the Gateway: spec.addresses, of type NamedAddress."
  value       = google_compute_global_address.api.name
}

output "address" {
  description = "What the domains' A records say."
  value       = google_compute_global_address.api.address
}

output "certificate_map_name" {
  description = "For the Gateway: its annotation networking.gke.io/certmap."
  value       = google_certificate_manager_certificate_map.api.name
}

output "ssl_policy_name" {
  description = "For GCPGatewayPolicy: spec.default.sslPolicy."
  value       = google_compute_ssl_policy.api.name
}

output "dns_records" {
  description = "The record of each domain that lets Google issue its certificate."
  value       = { for domain, it in google_certificate_manager_dns_authorization.domain : domain => it.dns_resource_record }
}
