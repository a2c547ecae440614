-- The table of dead letters: inputs that a stage could not use, whole.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' error_records.sql | bq query --nouse_legacy_sql
CREATE TABLE IF NOT EXISTS `PROJECT.DATASET.embeddings_error_records` (
  id STRING NOT NULL OPTIONS (description = 'hash of the input and the stage; the same for all parts'),
  stage STRING NOT NULL OPTIONS (description = 'the stage that refused the input'),
  timestamp TIMESTAMP NOT NULL OPTIONS (description = 'when it did'),
  error_message STRING NOT NULL OPTIONS (description = 'why'),
  stacktrace STRING NOT NULL OPTIONS (description = 'where, if an exception said so'),
  payload_string STRING OPTIONS (description = 'the input, if it is UTF-8'),
  payload_bytes BYTES OPTIONS (description = 'the input, if it is not'),
  attributes ARRAY<STRUCT<key STRING NOT NULL OPTIONS (description = 'name of the field'), value STRING OPTIONS (description = 'a string as it came, anything else as JSON')>> OPTIONS (description = 'what came beside the input'),
  part INT64 NOT NULL OPTIONS (description = 'number of this part of the payload, from 0'),
  parts INT64 NOT NULL OPTIONS (description = 'how many parts the payload has')
)
PARTITION BY TIMESTAMP_TRUNC(timestamp, DAY)
CLUSTER BY stage;
