resource "google_project_service" "api" {
  for_each = toset([
    "certificatemanager.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "redis.googleapis.com",
    "secretmanager.googleapis.com",
    "servicenetworking.googleapis.com",
    "storage.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false
}

resource "google_compute_network" "imagen" {
  name                    = "imagen"
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

resource "google_compute_subnetwork" "nodes" {
  name                     = "imagen-nodes"
  region                   = var.region
  network                  = google_compute_network.imagen.id
  ip_cidr_range            = "10.0.0.0/20"
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.4.0.0/14"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.8.0.0/20"
  }
}

# Nodes have no addresses of their own: images are pulled and identity providers asked through this.
resource "google_compute_router" "out" {
  name    = "imagen-out"
  region  = var.region
  network = google_compute_network.imagen.id
}

resource "google_compute_router_nat" "out" {
  name                               = "imagen-out"
  region                             = var.region
  router                             = google_compute_router.out.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# Memorystore lives in a network of Google's that is joined to ours.
resource "google_compute_global_address" "services" {
  name          = "imagen-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.imagen.id
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.imagen.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
}
