resource "google_redis_instance" "server" {
  name               = var.name
  region             = var.region
  tier               = "STANDARD_HA"
  memory_size_gb     = var.memory_gb
  redis_version      = "REDIS_7_2"
  authorized_network = var.network_id
  connect_mode       = "PRIVATE_SERVICE_ACCESS"

  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"

  # An evicted counter is a forgotten one, an evicted job a lost one.
  redis_configs = {
    maxmemory-policy = "noeviction"
  }

  persistence_config {
    persistence_mode    = var.snapshots ? "RDB" : "DISABLED"
    rdb_snapshot_period = var.snapshots ? "ONE_HOUR" : null
  }

  deletion_protection = var.deletion_protection
}

resource "google_secret_manager_secret" "url" {
  secret_id = "${var.name}-url"

  replication {
    auto {}
  }
}

# The certificate has the address as its common name alone, which is no name to verify. Its
# authority is this server's own and vouches for no other.
resource "google_secret_manager_secret_version" "url" {
  secret      = google_secret_manager_secret.url.id
  secret_data = "rediss://:${urlencode(google_redis_instance.server.auth_string)}@${google_redis_instance.server.host}:${google_redis_instance.server.port}/0?ssl_ca_certs=${var.ca_path}&ssl_check_hostname=false"
}

resource "google_secret_manager_secret" "ca" {
  secret_id = "${var.name}-ca"

  replication {
    auto {}
  }
}

# All of them: while Google changes authorities there are two.
resource "google_secret_manager_secret_version" "ca" {
  secret      = google_secret_manager_secret.ca.id
  secret_data = join("\n", google_redis_instance.server.server_ca_certs[*].cert)
}
