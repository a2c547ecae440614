-- Lets current_embeddings show one version of a model, NEW_VERSION, if no message is missing or stale there by
-- status.sql, and fails otherwise: each must have an entry of the newest version that any model has seen.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g; s/NEW_VERSION/0123abcd/g' switch_model.sql |
--     bq query --nouse_legacy_sql
ASSERT NOT EXISTS (
  WITH
    entries AS (
      SELECT *
      FROM `PROJECT.DATASET.embeddings_journal`
      WHERE TRUE
      QUALIFY ROW_NUMBER() OVER (
        PARTITION BY message_id, model, model_version
        ORDER BY version DESC, written_at DESC, revision DESC
      ) = 1
    ),
    messages AS (
      SELECT message_id, version, deleted
      FROM entries
      WHERE TRUE
      QUALIFY ROW_NUMBER() OVER (
        PARTITION BY message_id
        ORDER BY version DESC, written_at DESC, revision DESC
      ) = 1
    )
  SELECT messages.message_id
  FROM messages
  LEFT JOIN (SELECT * FROM entries WHERE model_version = 'NEW_VERSION') AS found
  ON found.message_id = messages.message_id
  WHERE (found.message_id IS NULL AND NOT messages.deleted)
    OR (found.version < messages.version AND NOT (messages.deleted AND found.deleted))
) AS 'expected NEW_VERSION to have the newest version of each message; embed what status.sql counts as missing or stale';

CREATE OR REPLACE VIEW `PROJECT.DATASET.current_embeddings` AS
SELECT found.*
FROM `PROJECT.DATASET.embeddings` AS found
JOIN (
  SELECT message_id, model, model_version, revision
  FROM `PROJECT.DATASET.embeddings_journal`
  WHERE model_version = 'NEW_VERSION'
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
