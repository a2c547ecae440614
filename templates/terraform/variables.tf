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
  description = "The streaming template's container spec, as gs://BUCKET/templates/BUILD/streaming_spec.json. Another one updates the job. Null makes everything except the job, for the first apply, before there is an image."
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
  description = "Machine type of the workers. C3 computes in bfloat16, which N2 and older types do not."
  type        = string
  default     = "c3-standard-4"
}

variable "max_workers" {
  description = "Maximum number of workers."
  type        = number
  default     = 3
}

variable "num_workers" {
  description = "Number of workers that the job starts with. Null for Dataflow's choice."
  type        = number
  default     = null
}

variable "disk_size_gb" {
  description = "Size of each worker's disk. An image with CUDA's libraries needs 100. Null for Dataflow's choice."
  type        = number
  default     = null
}

variable "disk_type" {
  description = "Type of each worker's disk. C3 takes no pd-standard. Null for Dataflow's choice."
  type        = string
  default     = "compute.googleapis.com/projects//zones//diskTypes/pd-ssd"
}

variable "launcher_machine_type" {
  description = "Machine type of the launcher, which loads no model. Null for Dataflow's choice."
  type        = string
  default     = null
}

variable "additional_experiments" {
  description = "More of Dataflow's experiments. Workers get a GPU by worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver, with the machine type g2-standard-4 and the image of requirements-gpu.txt."
  type        = list(string)
  default     = []
}

variable "enable_streaming_engine" {
  description = "Whether Dataflow's service, and not the workers, keeps the state of the stream. A change recreates the job."
  type        = bool
  default     = true
}

variable "transform_name_mapping" {
  description = "New names of steps by their names in the running job, for the update that renames them; then empty again, with the next update."
  type        = map(string)
  default     = {}
}

variable "skip_wait_on_job_termination" {
  description = "Whether Terraform forgets a job as soon as it drains. The job that follows must then have another name."
  type        = bool
  default     = false
}

variable "network" {
  description = "Network of the workers. Null for the subnetwork's, or for the default network."
  type        = string
  default     = null
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

variable "enable_services" {
  description = "Whether Terraform enables the services that all this needs. They stay enabled when it is destroyed."
  type        = bool
  default     = true
}

variable "create_vector_index" {
  description = "Whether the table gets an index for VECTOR_SEARCH. All its vectors must then have the same length."
  type        = bool
  default     = true
}

variable "vector_index_attempt" {
  description = "To be raised after the job that makes the index has failed; no job's id can be used twice."
  type        = number
  default     = 1
}

variable "model_version" {
  description = "The model_version that current_embeddings shows, to be set after templates/sql/switch_model.sql. Null for each."
  type        = string
  default     = null
}

variable "delete_retired_schedule" {
  description = "When rows that a newer version of their message has retired are deleted, as \"every 24 hours\". Null for never."
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
  description = "Dataflow's system lag (the longest that a message has waited in the job) that raises an alert."
  type        = number
  default     = 600
}

variable "max_write_retries" {
  description = "Number of writes to BigQuery that are tried again, over ten minutes, that raises an alert."
  type        = number
  default     = 100
}

variable "max_row_lag_seconds" {
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
