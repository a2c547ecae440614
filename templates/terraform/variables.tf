variable "project" {
  description = "Project of all resources."
  type        = string
}

variable "region" {
  description = "Region of all resources."
  type        = string
}

variable "name" {
  description = "Name of the job, from which the other names are made: lower-case letters, digits and hyphens."
  type        = string
  default     = "sentence-embeddings"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,24}$", var.name))
    error_message = "Expected a lower-case letter, then 2 to 24 letters, digits or hyphens."
  }
}

variable "spec" {
  description = "The streaming template's container spec, as gs://bucket/streaming_spec.json. Null makes everything except the job, for the first apply, before there is an image."
  type        = string
  default     = null
}

variable "image" {
  description = "The image of the workers, by tag or digest. Null for the name under which the image was pushed."
  type        = string
  default     = null
}

variable "parameters" {
  description = "More parameters of the template, such as model or language."
  type        = map(string)
  default     = {}
}

variable "input_format" {
  description = "Format of the messages: text or json."
  type        = string
  default     = "json"
}

variable "at_least_once" {
  description = "Whether Dataflow may process a message twice, which is cheaper; ids make duplicates harmless."
  type        = bool
  default     = true
}

variable "machine_type" {
  description = "Machine type of the workers."
  type        = string
  default     = "n2-standard-4"
}

variable "max_workers" {
  description = "Maximum number of workers."
  type        = number
  default     = 3
}

variable "subnetwork" {
  description = "Subnetwork of the workers, as regions/REGION/subnetworks/NAME. Null for the default network."
  type        = string
  default     = null
}

variable "private_ips" {
  description = "Whether workers have only private addresses, which needs a subnetwork with Private Google Access."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "Key that encrypts everything, as projects/P/locations/L/keyRings/R/cryptoKeys/K. The service agents of Dataflow, Compute Engine, Storage, BigQuery, Pub/Sub and Artifact Registry must be allowed to use it. Null for Google's keys."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of all resources that take labels."
  type        = map(string)
  default     = {}
}

variable "create_vector_index" {
  description = "Whether the table gets an index for VECTOR_SEARCH. All its vectors must then have the same length."
  type        = bool
  default     = true
}

variable "model_version" {
  description = "The model_version that current_embeddings shows, to be set after templates/sql/switch_model.sql. Null for each."
  type        = string
  default     = null
}

variable "delete_retired_schedule" {
  description = "When rows that a newer version of their message has retired are deleted, as \"every 24 hours\". Null for never. Needs the API bigquerydatatransfer.googleapis.com."
  type        = string
  default     = null
}

variable "partition_expiration_days" {
  description = "Number of days, by event time, after which rows are deleted. Null for never."
  type        = number
  default     = null
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the tables."
  type        = bool
  default     = true
}

variable "notification_channels" {
  description = "Where alerts go, as projects/P/notificationChannels/N."
  type        = list(string)
  default     = []
}

variable "max_backlog_seconds" {
  description = "Age of the oldest unacknowledged message that raises an alert."
  type        = number
  default     = 600
}

variable "max_dead_letter_ratio" {
  description = "Number of dead letters per row, over ten minutes, that raises an alert."
  type        = number
  default     = 0.01
}

variable "max_lag_seconds" {
  description = "Average time from a message to its rows, in seconds over ten minutes, that raises an alert."
  type        = number
  default     = 300
}

variable "columns" {
  description = "Columns of your own in the table of rows: name, BigQuery type, and the field of the messages that fills it, by default the one of its name."
  type = list(object({
    name  = string
    type  = string
    field = optional(string)
  }))
  default = []
}

variable "partition_by" {
  description = "The column by whose day the table of rows is partitioned: event_time, or one of columns of TIMESTAMP or DATE. A change makes the table again, empty."
  type        = string
  default     = "event_time"
}

variable "cluster_by" {
  description = "The columns by which the table of rows is clustered, four at most, the first one first."
  type        = list(string)
  default     = ["model", "message_id"]
}
