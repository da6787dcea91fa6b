# The load balancer itself belongs to the Gateway in the cluster, which makes and changes it. What is
# here outlives it, and it is referred to by name.

locals {
  # api.example.com: imagen-api-example-com
  names = { for domain in var.domains : domain => "${var.name}-${replace(domain, ".", "-")}" }
}

resource "google_compute_global_address" "api" {
  name = var.name
}

resource "google_compute_ssl_policy" "api" {
  name            = var.name
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"
}

resource "google_certificate_manager_dns_authorization" "domain" {
  for_each = local.names

  name   = each.value
  domain = each.key
}

resource "google_certificate_manager_certificate" "domain" {
  for_each = local.names

  name = each.value

  managed {
    domains            = [each.key]
    dns_authorizations = [google_certificate_manager_dns_authorization.domain[each.key].id]
  }
}

resource "google_certificate_manager_certificate_map" "api" {
  name = var.name
}

resource "google_certificate_manager_certificate_map_entry" "domain" {
  for_each = local.names

  name         = each.value
  map          = google_certificate_manager_certificate_map.api.name
  hostname     = each.key
  certificates = [google_certificate_manager_certificate.domain[each.key].id]
}
