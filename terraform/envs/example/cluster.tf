# Nodes run as an account that can do what nodes must, in place of the project's editor.
resource "google_service_account" "nodes" {
  account_id   = "imagen-nodes"
  display_name = "Imagen: nodes"

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "nodes" {
  project = var.project_id
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}

resource "google_container_cluster" "imagen" {
  name             = "imagen"
  location         = var.region
  network          = google_compute_network.imagen.id
  subnetwork       = google_compute_subnetwork.nodes.id
  enable_autopilot = true

  deletion_protection = var.deletion_protection

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  # The control plane is reached by its name, where IAM decides; it has no address.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }

    ip_endpoints_config {
      enabled = false
    }
  }

  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = google_service_account.nodes.email
    }
  }

  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  secret_manager_config {
    enabled = true
  }

  monitoring_config {
    managed_prometheus {
      enabled = true
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  depends_on = [google_project_iam_member.nodes]
}
