# Run terraform apply, build the image (docs/dataflow.md), then apply again with the spec.
variable "project" {
  type = string
}

variable "region" {
  type    = string
  default = "europe-west1"
}

# A subnetwork with Private Google Access. Without one, workers are on the default network, with public addresses.
variable "subnetwork" {
  type    = string
  default = null
}

variable "spec" {
  type    = string
  default = null
}

provider "google" {
  project = var.project
  region  = var.region
}

provider "google-beta" {
  project = var.project
  region  = var.region
}

module "sentence_embeddings" {
  source = "../"

  project       = var.project
  region        = var.region
  spec          = var.spec
  subnetwork    = var.subnetwork
  private_ips   = var.subnetwork != null
  input_format  = "json"
  parameters    = { language = "en" }
  max_workers   = 2
  labels        = { team = "search" }
  at_least_once = true
}

output "sentence_embeddings" {
  value = module.sentence_embeddings
}
