terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.30, < 9.0"
    }
    # Has the Flex Template job.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 5.30, < 9.0"
    }
  }
}
