provider "google" {
  project = var.project_id
  region  = var.region
}

locals {
  ca_folder = "/var/run/secrets/imagen"
}

module "security" {
  source = "../../modules/security"

  address_lists = var.address_lists
  waf_enforced  = var.waf_enforced

  depends_on = [google_project_service.api]
}

module "edge" {
  source = "../../modules/edge"

  domains = var.domains

  depends_on = [google_project_service.api]
}

# Two servers: counters may be lost and must be quick, jobs must not be lost.
module "counters" {
  source = "../../modules/redis"

  name                = "imagen-counters"
  region              = var.region
  network_id          = google_compute_network.imagen.id
  memory_gb           = 1
  snapshots           = false
  ca_path             = "${local.ca_folder}/counters-ca.pem"
  deletion_protection = var.deletion_protection

  depends_on = [google_service_networking_connection.services]
}

module "jobs" {
  source = "../../modules/redis"

  name                = "imagen-jobs"
  region              = var.region
  network_id          = google_compute_network.imagen.id
  memory_gb           = 2
  snapshots           = true
  ca_path             = "${local.ca_folder}/jobs-ca.pem"
  deletion_protection = var.deletion_protection

  depends_on = [google_service_networking_connection.services]
}

# Their values are put in by hand, so that they are in no file and no state.
resource "google_secret_manager_secret" "credentials" {
  for_each = toset(["api-keys", "jwt-secret"])

  secret_id = "imagen-${each.key}"

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

module "identity" {
  source = "../../modules/identity"

  project_id   = var.project_id
  namespace    = var.namespace
  files_bucket = google_storage_bucket.files.name

  workloads = {
    # A pod has one identity: where the sidecar is in the API's pod, it is the API.
    api = {
      kubernetes_service_account = "imagen-api"
      files                      = true
      secrets                    = merge(local.job_secrets, local.sidecar_secrets)
    }
    worker = {
      kubernetes_service_account = "imagen-worker"
      files                      = true
      secrets                    = local.job_secrets
    }
    # In front of any other application.
    sidecar = {
      kubernetes_service_account = "imagen-sidecar"
      secrets                    = local.sidecar_secrets
    }
  }

  # Pods are known to IAM from the project's first cluster on.
  depends_on = [google_container_cluster.imagen]
}

locals {
  job_secrets = {
    jobs-url = module.jobs.url_secret
    jobs-ca  = module.jobs.ca_secret
  }
  sidecar_secrets = merge(
    { for name, secret in google_secret_manager_secret.credentials : name => secret.secret_id },
    {
      counters-url = module.counters.url_secret
      counters-ca  = module.counters.ca_secret
    },
  )
}
