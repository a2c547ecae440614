"""Reads rows from BigQuery tables and writes rows to them."""
