mock_provider "google" {}

variables {
  project_id   = "example-project"
  files_bucket = "example-files"
  workloads = {
    api     = { kubernetes_service_account = "imagen-api", files = true, secrets = { url = "jobs-url", keys = "api-keys" } }
    sidecar = { kubernetes_service_account = "imagen-sidecar", secrets = { keys = "api-keys" } }
  }
}

run "pods_of_one_account_in_one_namespace" {
  command = plan

  assert {
    condition     = google_service_account_iam_member.pods["sidecar"].member == "serviceAccount:example-project.svc.id.goog[imagen/imagen-sidecar]"
    error_message = "Other pods than the sidecar's are the sidecar."
  }
}

run "only_who_works_on_files_reaches_them" {
  command = plan

  assert {
    condition     = keys(google_storage_bucket_iam_member.files) == ["api"]
    error_message = "The bucket is open to others, or closed to the API."
  }
}

run "a_secret_is_read_by_those_it_was_given_to" {
  command = plan

  assert {
    condition = { for name, it in google_secret_manager_secret_iam_member.reader : name => it.secret_id } == {
      "api/keys"     = "api-keys"
      "api/url"      = "jobs-url"
      "sidecar/keys" = "api-keys"
    }
    error_message = "A secret is read by others, or not by its reader."
  }
}

run "a_shared_account_is_refused" {
  command = plan

  variables {
    workloads = {
      api    = { kubernetes_service_account = "default" }
      worker = { kubernetes_service_account = "default" }
    }
  }

  expect_failures = [var.workloads]
}
