-- What was refused in the last day, by stage and reason; a dead letter of several parts counts once.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' error_records_by_reason.sql | bq query --nouse_legacy_sql
SELECT
  stage,
  REGEXP_REPLACE(error_message, '[0-9]+', 'N') AS reason,
  COUNT(DISTINCT id) AS dead_letters,
  MIN(timestamp) AS first,
  MAX(timestamp) AS last,
  ANY_VALUE(SUBSTR(payload_string, 1, 200)) AS example
FROM `PROJECT.DATASET.embeddings_error_records`
WHERE timestamp >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)
GROUP BY stage, reason
ORDER BY dead_letters DESC;
