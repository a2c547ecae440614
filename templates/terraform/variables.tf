variable "project" {
  description = "Project of everything that is made."
  type        = string
}

variable "region" {
  description = "Region of everything that is made."
  type        = string
}

variable "name" {
  description = "What the job and all else is called by: lower-case letters, digits and hyphens."
  type        = string
  default     = "sentence-embeddings"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,24}$", var.name))
    error_message = "Expected a lower-case letter, then 2 to 24 letters, digits or hyphens."
  }
}

variable "spec" {
  description = "The streaming template's container spec, as gs://bucket/streaming_spec.json. Null makes everything but the job, for the first apply, before there is an image."
  type        = string
  default     = null
}

variable "image" {
  description = "The image of the workers, by tag or digest. Null for the one that the image knows as its own."
  type        = string
  default     = null
}

variable "parameters" {
  description = "More parameters of the template, such as model or language."
  type        = map(string)
  default     = {}
}

variable "input_format" {
  description = "What messages hold: text or json."
  type        = string
  default     = "json"
}

variable "at_least_once" {
  description = "Whether Dataflow may process a message twice, which is cheaper; ids make doubles harmless."
  type        = bool
  default     = true
}

variable "machine_type" {
  description = "Machine type of the workers."
  type        = string
  default     = "n2-standard-4"
}

variable "max_workers" {
  description = "Most workers at once."
  type        = number
  default     = 3
}

variable "subnetwork" {
  description = "Subnetwork of the workers, as regions/REGION/subnetworks/NAME. Null for the default network."
  type        = string
  default     = null
}

variable "private_ips" {
  description = "Whether workers have private addresses only; it takes a subnetwork that has Private Google Access."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "Key that encrypts everything, as projects/P/locations/L/keyRings/R/cryptoKeys/K. The service agents of Dataflow, Compute Engine, Storage, BigQuery, Pub/Sub and Artifact Registry must be allowed to use it. Null for Google's keys."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of everything that takes labels."
  type        = map(string)
  default     = {}
}

variable "create_vector_index" {
  description = "Whether the table gets an index for VECTOR_SEARCH. All its vectors must have one length then."
  type        = bool
  default     = true
}

variable "partition_expiration_days" {
  description = "After how many days rows go, by event time. Null for never."
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
  description = "Dead letters for each row, over ten minutes, that raise an alert."
  type        = number
  default     = 0.01
}
