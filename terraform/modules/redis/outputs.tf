output "url_secret" {
  description = "The secret whose value is the URL, password included: for REDIS_URL, AUTHZ_KEYS_URL or IMAGE_QUEUE_URL."
  value       = google_secret_manager_secret.url.secret_id
}

output "ca_secret" {
  description = "The secret whose value is the file of authorities, mounted where the URL says."
  value       = google_secret_manager_secret.ca.secret_id
}

output "ca_path" {
  description = "Where the URL says that file is."
  value       = var.ca_path
}

output "host" {
  description = "The server's address in the network."
  value       = google_redis_instance.server.host
}
