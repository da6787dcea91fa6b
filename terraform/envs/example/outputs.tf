output "cluster" {
  description = "For `gcloud container clusters get-credentials NAME --dns-endpoint`."
  value       = google_container_cluster.imagen.name
}

output "address" {
  description = "What the domains' A records say."
  value       = module.edge.address
}

output "dns_records" {
  description = "The record of each domain that lets Google issue its certificate."
  value       = module.edge.dns_records
}

output "gateway" {
  description = "The names that the Gateway and its policies refer to."
  value = {
    address_name         = module.edge.address_name
    certificate_map_name = module.edge.certificate_map_name
    ssl_policy_name      = module.edge.ssl_policy_name
    security_policy_name = module.security.policy_name
  }
}

output "service_accounts" {
  description = "For the annotation iam.gke.io/gcp-service-account of each Kubernetes service account."
  value       = module.identity.emails
}

output "secrets" {
  description = "The names of secrets: URLs and authorities of both servers, credentials of clients."
  value       = merge(local.sidecar_secrets, local.job_secrets)
}

output "ca_paths" {
  description = "Where pods have to find each server's file of authorities: the URLs name it."
  value       = { counters = module.counters.ca_path, jobs = module.jobs.ca_path }
}

output "files_url" {
  description = "For IMAGE_FILES_URL."
  value       = "gs://${google_storage_bucket.files.name}"
}
