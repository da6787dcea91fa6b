output "emails" {
  description = "For the annotation iam.gke.io/gcp-service-account of each Kubernetes service account."
  value       = { for workload, account in google_service_account.workload : workload => account.email }
}
