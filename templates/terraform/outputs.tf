output "repository" {
  description = "Where to push the image."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "bucket" {
  description = "Where to put the specs."
  value       = google_storage_bucket.staging.url
}

output "topic" {
  description = "Where to publish messages."
  value       = google_pubsub_topic.messages.id
}

output "subscription" {
  description = "The subscription that the job reads."
  value       = google_pubsub_subscription.messages.id
}

output "table" {
  description = "The table of rows."
  value       = "${var.project}:${local.dataset}.${google_bigquery_table.embeddings.table_id}"
}

output "service_account" {
  description = "The workers' service account."
  value       = google_service_account.job.email
}

output "job_id" {
  description = "The running job, or null."
  value       = one(google_dataflow_flex_template_job.streaming[*].job_id)
}
