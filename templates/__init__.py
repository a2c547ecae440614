"""What deploys the pipeline: Flex Templates, Cloud Build, Terraform, BigQuery SQL."""
