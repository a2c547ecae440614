-- The table of rows: one for each sentence and model, and now and then a double.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' embeddings.sql | bq query --nouse_legacy_sql
CREATE TABLE IF NOT EXISTS `PROJECT.DATASET.embeddings` (
  id STRING NOT NULL OPTIONS (description = 'hash of message_id, sentence_index and content; with model, the row\'s key'),
  message_id STRING NOT NULL OPTIONS (description = 'the message\'s own id, or a hash of its content and origin'),
  sentence_index INT64 NOT NULL OPTIONS (description = 'number of the sentence in its message, from 0'),
  begin INT64 NOT NULL OPTIONS (description = 'code-point offset of its first character in the message\'s text'),
  `end` INT64 NOT NULL OPTIONS (description = 'code-point offset past its last character'),
  content STRING NOT NULL OPTIONS (description = 'the sentence: text[begin:end]'),
  embedding ARRAY<FLOAT64> OPTIONS (description = 'its vector (float32 in Parquet and Avro)'),
  model STRING NOT NULL OPTIONS (description = 'name or handle of the model that made the vector'),
  model_version STRING NOT NULL OPTIONS (description = 'digest of that model\'s files'),
  precision STRING NOT NULL OPTIONS (description = 'precision that the encoder ran in'),
  tokens INT64 NOT NULL OPTIONS (description = 'word pieces that the encoder read; 0 for a text-in encoder'),
  truncated BOOL NOT NULL OPTIONS (description = 'whether the sentence has more word pieces than the encoder read'),
  event_time TIMESTAMP OPTIONS (description = 'the message\'s time, if it has one'),
  metadata ARRAY<STRUCT<key STRING NOT NULL OPTIONS (description = 'name of the field'), value STRING OPTIONS (description = 'a string as it came, anything else as JSON')>> OPTIONS (description = 'the message\'s other fields and attributes'),
  revision STRING OPTIONS (description = 'the version of the message that it is of, as in the journal')
)
PARTITION BY TIMESTAMP_TRUNC(event_time, DAY)
CLUSTER BY model, message_id;
