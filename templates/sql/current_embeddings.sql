-- The view to read where there is a journal: the sentences of the newest version of each message that was
-- carried to its end, for each model and model_version; none of a message that was deleted. To read one
-- model_version only, use switch_model.sql, or write model_version = 'DIGEST' for TRUE.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' current_embeddings.sql | bq query --nouse_legacy_sql
CREATE OR REPLACE VIEW `PROJECT.DATASET.current_embeddings` AS
SELECT found.*
FROM `PROJECT.DATASET.embeddings` AS found
JOIN (
  SELECT message_id, model, model_version, revision
  FROM `PROJECT.DATASET.embeddings_journal`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY message_id, model, model_version
    ORDER BY version DESC, written_at DESC, revision DESC
  ) = 1
) AS newest
USING (message_id, model, model_version, revision)
WHERE found.revision IS NOT NULL
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY message_id, model, model_version, revision, event_time, id
  ORDER BY precision
) = 1;
