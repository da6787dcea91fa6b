mock_provider "google" {}

variables {
  domains = ["api.example.com", "img.example.com"]
}

run "every_domain_has_a_certificate_of_its_own" {
  command = apply

  assert {
    condition = alltrue([
      for domain, entry in google_certificate_manager_certificate_map_entry.domain :
      entry.hostname == domain
      && entry.certificates == tolist([google_certificate_manager_certificate.domain[domain].id])
      && entry.map == google_certificate_manager_certificate_map.api.name
    ]) && length(google_certificate_manager_certificate_map_entry.domain) == 2
    error_message = "A domain is not served its own certificate."
  }

  assert {
    condition     = keys(output.dns_records) == ["api.example.com", "img.example.com"]
    error_message = "A domain's DNS record is not put out."
  }
}

run "old_tls_is_refused" {
  command = plan

  assert {
    condition     = google_compute_ssl_policy.api.min_tls_version == "TLS_1_2" && google_compute_ssl_policy.api.profile == "RESTRICTED"
    error_message = "TLS older than 1.2, or ciphers without forward secrecy."
  }
}

run "a_wildcard_is_refused" {
  command = plan

  variables {
    domains = ["*.example.com"]
  }

  expect_failures = [var.domains]
}

run "no_domain_is_refused" {
  command = plan

  variables {
    domains = []
  }

  expect_failures = [var.domains]
}
