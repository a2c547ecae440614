-- The table of the journal: one for each message, version and model that was carried to its end.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' journal.sql | bq query --nouse_legacy_sql
CREATE TABLE IF NOT EXISTS `PROJECT.DATASET.embeddings_journal` (
  message_id STRING NOT NULL OPTIONS (description = 'the message\'s id, as in its rows'),
  version INT64 NOT NULL OPTIONS (description = 'which of its versions is newer; by default its time in microseconds'),
  revision STRING NOT NULL OPTIONS (description = 'the version, and a digest of what its rows hold'),
  event_time TIMESTAMP OPTIONS (description = 'the message\'s time, if it has one'),
  model STRING NOT NULL OPTIONS (description = 'name or handle of the model that made its vectors'),
  model_version STRING NOT NULL OPTIONS (description = 'digest of that model\'s files, as in its rows'),
  sentences INT64 NOT NULL OPTIONS (description = 'how many sentences the version has'),
  `rows` INT64 NOT NULL OPTIONS (description = 'how many of them have a row'),
  dead_letters INT64 NOT NULL OPTIONS (description = 'how many of them became dead letters'),
  deleted BOOL NOT NULL OPTIONS (description = 'whether the version says that the message is gone'),
  written_at TIMESTAMP NOT NULL OPTIONS (description = 'when this was written, after the rows')
)
PARTITION BY TIMESTAMP_TRUNC(written_at, DAY)
CLUSTER BY model, message_id;
