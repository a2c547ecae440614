locals {
  dataset = google_bigquery_dataset.embeddings.dataset_id
  # The own columns, as the table has them and as the job is told them.
  columns = [
    for column in var.columns : {
      name        = column.name
      type        = column.type
      mode        = "NULLABLE"
      description = "the message's field '${coalesce(column.field, column.name)}'"
    }
  ]
  own_columns = length(var.columns) == 0 ? {} : {
    columns = join(",", [for column in var.columns : "${column.name}:${column.type}=${coalesce(column.field, column.name)}"])
  }
  # The SQL files, with this dataset's names.
  sql = {
    for name in ["newest_embeddings", "current_embeddings", "error_records_pubsub", "vector_index", "delete_retired"] :
    name => replace(replace(file("${path.module}/../sql/${name}.sql"), "PROJECT", var.project), "DATASET", local.dataset)
  }
  # The provider moves these out of a job's parameters into its environment.
  environment = {
    for name, value in {
      maxNumWorkers     = var.max_workers
      network           = var.network
      numWorkers        = var.num_workers
      sdkContainerImage = var.image
      stagingLocation   = "${google_storage_bucket.staging.url}/staging"
      subnetwork        = var.subnetwork
      tempLocation      = "${google_storage_bucket.staging.url}/temp"
      workerMachineType = var.machine_type
      # The provider knows no disk, so these two are parameters of the template.
      disk_size_gb = var.disk_size_gb
      disk_type    = var.disk_type
    } : name => tostring(value) if value != null
  }
  services = [
    "artifactregistry", "bigquery", "bigquerydatatransfer", "cloudbuild", "cloudresourcemanager", "compute", "dataflow",
    "iam", "logging", "monitoring", "pubsub", "storage",
  ]
}

resource "google_project_service" "services" {
  for_each = toset(var.enable_services ? local.services : [])

  project            = var.project
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  kms_key_name  = var.kms_key
  labels        = var.labels

  depends_on = [google_project_service.services]
}

# Holds the templates' specs, and what jobs stage.
resource "google_storage_bucket" "staging" {
  project                     = var.project
  name                        = "${var.project}-${var.name}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  # Dataflow writes many files that live for hours; soft delete would keep them, and charge for them, for a week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 14
      matches_prefix = ["temp/"]
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.services]
}

resource "google_pubsub_topic" "messages" {
  project      = var.project
  name         = "${var.name}-messages"
  kms_key_name = var.kms_key
  labels       = var.labels

  depends_on = [google_project_service.services]
}

# It has no dead-letter topic, because Dataflow does not support one: each redelivery of its own would count as a failure.
resource "google_pubsub_subscription" "messages" {
  project                    = var.project
  name                       = "${var.name}-messages"
  topic                      = google_pubsub_topic.messages.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"
  # So that a seek to a time delivers again what was acknowledged after it.
  retain_acked_messages = true
  labels                = var.labels

  expiration_policy {
    ttl = ""
  }
}

resource "google_bigquery_dataset" "embeddings" {
  project    = var.project
  dataset_id = replace(var.name, "-", "_")
  location   = var.region
  labels     = var.labels

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.services]
}

resource "google_bigquery_table" "embeddings" {
  project             = var.project
  dataset_id          = local.dataset
  table_id            = "embeddings"
  schema              = jsonencode(concat(jsondecode(file("${path.module}/embeddings_schema.json")), local.columns))
  clustering          = var.cluster_by
  deletion_protection = var.deletion_protection
  labels              = var.labels

  time_partitioning {
    type          = "DAY"
    field         = var.partition_by
    expiration_ms = var.partition_expiration_days == null ? null : var.partition_expiration_days * 24 * 3600 * 1000
  }

  lifecycle {
    precondition {
      condition     = contains(concat(["event_time"], [for column in var.columns : column.name if contains(["TIMESTAMP", "DATE"], column.type)]), var.partition_by)
      error_message = "Expected partition_by to be event_time or one of columns of TIMESTAMP or DATE: name another one, or add it to columns."
    }
  }
}

resource "google_bigquery_table" "error_records" {
  project             = var.project
  dataset_id          = local.dataset
  table_id            = "embeddings_error_records"
  schema              = file("${path.module}/error_records_schema.json")
  clustering          = ["stage"]
  deletion_protection = var.deletion_protection
  labels              = var.labels

  time_partitioning {
    type  = "DAY"
    field = "timestamp"
  }
}

# Its columns have the names that Google's templates give them.
resource "google_bigquery_table" "error_records_pubsub" {
  project             = var.project
  dataset_id          = local.dataset
  table_id            = "embeddings_error_records_pubsub"
  deletion_protection = false
  labels              = var.labels

  view {
    query          = regex("(?s) AS\n(SELECT\\s.*);", local.sql["error_records_pubsub"])[0]
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.error_records]
}

resource "google_bigquery_table" "newest_embeddings" {
  project             = var.project
  dataset_id          = local.dataset
  table_id            = "newest_embeddings"
  deletion_protection = false
  labels              = var.labels

  view {
    query          = regex("(?s) AS\n(SELECT .*);", local.sql["newest_embeddings"])[0]
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.embeddings]
}

resource "google_bigquery_table" "journal" {
  project             = var.project
  dataset_id          = local.dataset
  table_id            = "embeddings_journal"
  schema              = file("${path.module}/journal_schema.json")
  clustering          = ["model", "message_id"]
  deletion_protection = var.deletion_protection
  labels              = var.labels

  time_partitioning {
    type  = "DAY"
    field = "written_at"
  }
}

resource "google_bigquery_table" "current_embeddings" {
  project             = var.project
  dataset_id          = local.dataset
  table_id            = "current_embeddings"
  deletion_protection = false
  labels              = var.labels

  view {
    query = replace(
      regex("(?s) AS\n(SELECT .*);", local.sql["current_embeddings"])[0],
      "TRUE", var.model_version == null ? "TRUE" : "model_version = '${var.model_version}'",
    )
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.embeddings, google_bigquery_table.journal]
}

resource "google_bigquery_data_transfer_config" "delete_retired" {
  count = var.delete_retired_schedule == null ? 0 : 1

  project              = var.project
  location             = var.region
  display_name         = "${var.name}: delete retired rows"
  data_source_id       = "scheduled_query"
  schedule             = var.delete_retired_schedule
  service_account_name = google_service_account.deletion[0].email

  params = {
    query = local.sql["delete_retired"]
  }

  depends_on = [google_project_iam_member.deletion, google_bigquery_table_iam_member.deletion]
}

# Runs the scheduled deletion; the job's own account may run no queries.
resource "google_service_account" "deletion" {
  count = var.delete_retired_schedule == null ? 0 : 1

  project      = var.project
  account_id   = "${var.name}-del"
  display_name = "Deletes retired rows of ${var.name}"

  depends_on = [google_project_service.services]
}

resource "google_project_iam_member" "deletion" {
  count = var.delete_retired_schedule == null ? 0 : 1

  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.deletion[0].member
}

resource "google_bigquery_table_iam_member" "deletion" {
  for_each = var.delete_retired_schedule == null ? {} : {
    rows    = google_bigquery_table.embeddings.table_id
    journal = google_bigquery_table.journal.table_id
  }

  project    = var.project
  dataset_id = local.dataset
  table_id   = each.value
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.deletion[0].member
}

# The provider has no resource for a vector index, so a job makes it. A job's id can never be used again; with the table's
# creation time in it, a table that is made again gets another one.
resource "google_bigquery_job" "vector_index" {
  count = var.create_vector_index ? 1 : 0

  project  = var.project
  location = var.region
  job_id = join("-", [
    var.name, "vector-index", substr(sha256(local.sql["vector_index"]), 0, 8),
    google_bigquery_table.embeddings.creation_time, var.vector_index_attempt,
  ])
  labels = var.labels

  query {
    query              = local.sql["vector_index"]
    use_legacy_sql     = false
    create_disposition = ""
    write_disposition  = ""
  }

  lifecycle {
    # The provider takes a job that failed for one that was made.
    postcondition {
      condition     = length(flatten(try(self.status[*].error_result, []))) == 0
      error_message = "Expected a vector index, but its job failed: bq show --job ${self.job_id} says why. Then raise vector_index_attempt."
    }
  }
}

resource "google_service_account" "job" {
  project      = var.project
  account_id   = "${var.name}-job"
  display_name = "Workers of ${var.name}"

  depends_on = [google_project_service.services]
}

# The job is also a viewer, because the launcher of an update looks up the running job.
resource "google_project_iam_member" "job" {
  for_each = toset(["roles/dataflow.worker", "roles/dataflow.viewer"])

  project = var.project
  role    = each.value
  member  = google_service_account.job.member
}

resource "google_storage_bucket_iam_member" "staging" {
  bucket = google_storage_bucket.staging.name
  role   = "roles/storage.objectAdmin"
  member = google_service_account.job.member
}

resource "google_artifact_registry_repository_iam_member" "images" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.job.member
}

# The job is also a viewer, because it looks up the backlog.
resource "google_pubsub_subscription_iam_member" "messages" {
  for_each = toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])

  project      = var.project
  subscription = google_pubsub_subscription.messages.name
  role         = each.value
  member       = google_service_account.job.member
}

# The role is on the tables and not on the dataset, because the job makes no tables.
resource "google_bigquery_table_iam_member" "tables" {
  for_each = {
    rows         = google_bigquery_table.embeddings.table_id
    dead_letters = google_bigquery_table.error_records.table_id
    journal      = google_bigquery_table.journal.table_id
  }

  project    = var.project
  dataset_id = local.dataset
  table_id   = each.value
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.job.member
}

resource "google_dataflow_flex_template_job" "streaming" {
  provider = google-beta
  count    = var.spec == null ? 0 : 1

  project                 = var.project
  region                  = var.region
  name                    = var.name
  container_spec_gcs_path = var.spec
  service_account_email   = google_service_account.job.email
  ip_configuration        = var.private_ips ? "WORKER_IP_PRIVATE" : "WORKER_IP_PUBLIC"
  kms_key_name            = var.kms_key
  launcher_machine_type   = var.launcher_machine_type
  labels                  = var.labels
  enable_streaming_engine = var.enable_streaming_engine
  transform_name_mapping  = var.transform_name_mapping
  # One process per worker: it holds one copy of the model, and its threads share the encoder's micro-batches.
  additional_experiments = concat(
    ["no_use_multiple_sdk_containers"],
    var.at_least_once ? ["streaming_mode_at_least_once"] : [],
    var.additional_experiments,
  )
  # A job that is replaced or destroyed first finishes what it has pulled.
  on_delete                    = "drain"
  skip_wait_on_job_termination = var.skip_wait_on_job_termination

  # By default, the default machine's bfloat16 is used where it agrees with float32.
  parameters = merge({ precision = "auto" }, var.parameters, local.environment, local.own_columns, {
    input_subscription = google_pubsub_subscription.messages.id
    input_format       = var.input_format
    output             = "${var.project}:${local.dataset}.${google_bigquery_table.embeddings.table_id}"
    dead_letters       = "${var.project}:${local.dataset}.${google_bigquery_table.error_records.table_id}"
    journal            = "${var.project}:${local.dataset}.${google_bigquery_table.journal.table_id}"
  })

  depends_on = [
    google_project_iam_member.job,
    google_storage_bucket_iam_member.staging,
    google_artifact_registry_repository_iam_member.images,
    google_pubsub_subscription_iam_member.messages,
    google_bigquery_table_iam_member.tables,
  ]

  lifecycle {
    # The provider reads these from the job under Java's names, and so finds none of them in a job of Python: each plan
    # would relaunch the job. Ignored arguments are sent as they were read, which is empty, so they are parameters above.
    ignore_changes = [
      machine_type, max_workers, network, num_workers, sdk_container_image, staging_location, subnetwork, temp_location,
    ]

    precondition {
      condition     = !var.private_ips || var.subnetwork != null
      error_message = "Expected subnetwork with private_ips, because the default network has no Private Google Access by default: name one that has it, or set private_ips to false."
    }
  }
}
