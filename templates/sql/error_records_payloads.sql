-- The payloads of Parse messages' dead letters of the last day, whole and once, to be exported and run again.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' error_records_payloads.sql | bq query --nouse_legacy_sql
SELECT
  id,
  STRING_AGG(payload_string, '' ORDER BY part) AS payload_string,
  STRING_AGG(payload_bytes, b'' ORDER BY part) AS payload_bytes,
  ANY_VALUE(attributes) AS attributes
FROM (
  SELECT *
  FROM `PROJECT.DATASET.embeddings_error_records`
  WHERE stage = 'Parse messages' AND timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY id, part ORDER BY timestamp) = 1
)
GROUP BY id
HAVING COUNT(*) = MAX(parts);
