mock_provider "google" {}

variables {
  project_id = "example-project"
  domains    = ["api.example.com"]
}

run "names_for_the_cluster_are_put_out" {
  command = plan

  assert {
    condition = output.gateway == {
      address_name         = "imagen"
      certificate_map_name = "imagen"
      ssl_policy_name      = "imagen"
      security_policy_name = "imagen-api-policy"
    }
    error_message = "The Gateway's names are others."
  }

  assert {
    condition     = keys(output.service_accounts) == ["api", "sidecar", "worker"]
    error_message = "An identity is missing."
  }
}

run "the_cluster_has_no_open_address" {
  command = plan

  assert {
    condition     = google_container_cluster.imagen.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled == false && google_container_cluster.imagen.private_cluster_config[0].enable_private_nodes
    error_message = "Nodes or control plane have addresses."
  }
}

run "nobody_reads_files_without_an_account" {
  command = plan

  assert {
    condition     = google_storage_bucket.files.public_access_prevention == "enforced" && google_storage_bucket.files.uniform_bucket_level_access
    error_message = "The bucket can be opened."
  }

  assert {
    condition     = [for rule in google_storage_bucket.files.lifecycle_rule : one(rule.action).type] == ["Delete", "AbortIncompleteMultipartUpload"]
    error_message = "Something stays in the bucket for ever."
  }
}

run "a_project_number_is_refused" {
  command = plan

  variables {
    project_id = "123456789012"
  }

  expect_failures = [var.project_id]
}
