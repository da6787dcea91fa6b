mock_provider "google" {
  mock_resource "google_redis_instance" {
    defaults = {
      auth_string     = "pass/word"
      host            = "10.1.2.3"
      port            = 6378
      server_ca_certs = [{ cert = "OLD", create_time = "", expire_time = "", serial_number = "", sha1_fingerprint = "" }, { cert = "NEW", create_time = "", expire_time = "", serial_number = "", sha1_fingerprint = "" }]
    }
  }
}

variables {
  name       = "imagen-jobs"
  region     = "europe-west1"
  network_id = "projects/example/global/networks/imagen"
  memory_gb  = 1
  snapshots  = true
  ca_path    = "/var/run/secrets/imagen/jobs-ca.pem"
}

run "nobody_connects_without_tls_and_password" {
  command = plan

  assert {
    condition     = google_redis_instance.server.auth_enabled && google_redis_instance.server.transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "AUTH or TLS is off."
  }

  assert {
    condition     = google_redis_instance.server.redis_configs["maxmemory-policy"] == "noeviction"
    error_message = "The server forgets what it was told."
  }
}

run "the_url_is_one_that_both_services_read" {
  command = apply

  assert {
    condition     = google_secret_manager_secret_version.url.secret_data == "rediss://:pass%2Fword@10.1.2.3:6378/0?ssl_ca_certs=/var/run/secrets/imagen/jobs-ca.pem&ssl_check_hostname=false"
    error_message = "The URL is another."
  }

  assert {
    condition     = google_secret_manager_secret_version.ca.secret_data == "OLD\nNEW"
    error_message = "An authority is missing: the server is not trusted while Google changes it."
  }
}

run "counters_are_not_written_to_disk" {
  command = plan

  variables {
    snapshots = false
  }

  assert {
    condition     = google_redis_instance.server.persistence_config[0].persistence_mode == "DISABLED"
    error_message = "Snapshots are made all the same."
  }
}

run "half_a_gibibyte_is_refused" {
  command = plan

  variables {
    memory_gb = 0.5
  }

  expect_failures = [var.memory_gb]
}

run "a_path_that_ends_the_url_is_refused" {
  command = plan

  variables {
    ca_path = "/ca.pem&db=1"
  }

  expect_failures = [var.ca_path]
}
