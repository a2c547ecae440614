"""BigQuery tables: rows read from them and written to them."""
