-- The view of dead letters under the names of Google's templates, each whole and once.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' error_records_pubsub.sql | bq query --nouse_legacy_sql
CREATE OR REPLACE VIEW `PROJECT.DATASET.embeddings_error_records_pubsub` AS
SELECT
  MIN(timestamp) AS timestamp,
  STRING_AGG(payload_string, '' ORDER BY part) AS payloadString,
  STRING_AGG(COALESCE(payload_bytes, CAST(payload_string AS BYTES)), b'' ORDER BY part) AS payloadBytes,
  ANY_VALUE(attributes) AS attributes,
  ANY_VALUE(error_message) AS errorMessage,
  ANY_VALUE(stacktrace) AS stacktrace
FROM (
  SELECT *
  FROM `PROJECT.DATASET.embeddings_error_records`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY id, part ORDER BY timestamp) = 1
)
GROUP BY id
HAVING COUNT(*) = MAX(parts);
