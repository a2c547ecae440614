-- The view to read: the row of each id and model with the newest event_time, without doubles.
-- Of two model_versions at one time the greater wins, a digest that says nothing of age: to read one of
-- them, write model_version = 'DIGEST' for TRUE.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' newest_embeddings.sql | bq query --nouse_legacy_sql
CREATE OR REPLACE VIEW `PROJECT.DATASET.newest_embeddings` AS
SELECT *
FROM `PROJECT.DATASET.embeddings`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY id, model
  ORDER BY event_time DESC NULLS LAST, model_version DESC
) = 1;
