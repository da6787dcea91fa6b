# Uploads and results. Workers remove them after 24 hours; the rules here are for what is left when
# there is no worker.
resource "google_storage_bucket" "files" {
  name     = "${var.project_id}-imagen-files"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  # What is removed is gone: these are other people's images.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    condition {
      age = 2
    }
    action {
      type = "Delete"
    }
  }

  # Parts of uploads that were broken off: nobody sees them, and they cost.
  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  depends_on = [google_project_service.api]
}
