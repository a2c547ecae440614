-- An index for VECTOR_SEARCH. All vectors of a table must have one length for it: one table for each length.
-- BigQuery leaves it empty, and searches without it, until the table holds 10 MB. What a search filters by must be
-- stored, or it is filtered after the nearest were found, and few are left.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' vector_index.sql | bq query --nouse_legacy_sql
CREATE VECTOR INDEX IF NOT EXISTS embeddings_by_cosine
ON `PROJECT.DATASET.embeddings` (embedding)
STORING (id, message_id, content, model, model_version, event_time, metadata, revision)
OPTIONS (index_type = 'IVF', distance_type = 'COSINE');
