locals {
  readers = merge([
    for workload, it in var.workloads : {
      for name, secret in it.secrets : "${workload}/${name}" => { workload = workload, secret = secret }
    }
  ]...)
}

resource "google_service_account" "workload" {
  for_each = var.workloads

  account_id   = "imagen-${each.key}"
  display_name = "Imagen: ${each.key}"
}

# Pods of this one account, in this one namespace, are this account. No key exists.
resource "google_service_account_iam_member" "pods" {
  for_each = var.workloads

  service_account_id = google_service_account.workload[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.namespace}/${each.value.kubernetes_service_account}]"
}

resource "google_storage_bucket_iam_member" "files" {
  for_each = { for workload, it in var.workloads : workload => it if it.files }

  bucket = var.files_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.workload[each.key].member
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.readers

  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.workload[each.value.workload].member
}
