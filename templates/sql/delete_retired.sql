-- For a schedule: deletes the rows that current_embeddings does not show because a newer version, or a deletion, has
-- retired them; and the journal's entries that a newer one has replaced for a week. Afterwards VECTOR_SEARCH over the
-- table finds no retired row. Rows of a version that is still being written, and rows without a revision, stay.
-- BigQuery refuses to delete rows that insertAll (STREAMING_INSERTS) wrote within the last 30 minutes, and may for up to
-- 90; what the Storage Write API wrote can be deleted at once. So rows stay until two hours after their journal entry.
-- https://cloud.google.com/bigquery/docs/data-manipulation-language#limitations
-- https://cloud.google.com/knowledge/kb/cannot-update-or-delete-over-bigquery-streaming-tables-000004334
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' delete_retired.sql | bq query --nouse_legacy_sql
DELETE FROM `PROJECT.DATASET.embeddings` AS found
WHERE EXISTS (
  SELECT *
  FROM (
    SELECT
      message_id,
      model,
      model_version,
      version,
      revision,
      FIRST_VALUE(revision) OVER (
        PARTITION BY message_id, model, model_version
        ORDER BY version DESC, written_at DESC, revision DESC
      ) AS current_revision,
      MAX(written_at) OVER (PARTITION BY message_id, model, model_version, revision) AS revision_written,
      MAX(written_at) OVER (PARTITION BY message_id, model, model_version) AS last_written
    FROM `PROJECT.DATASET.embeddings_journal`
  ) AS entry
  WHERE entry.message_id = found.message_id
    AND entry.model = found.model
    AND entry.model_version = found.model_version
    AND entry.current_revision != found.revision
    AND (
      (
        entry.revision = found.revision
        AND entry.revision_written < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 2 HOUR)
      )
      -- A version that was never carried to its end, and is older than one that was.
      OR (
        entry.version > CAST(REGEXP_EXTRACT(found.revision, r'^(-?[0-9]+)-') AS INT64)
        AND entry.last_written < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 2 HOUR)
      )
    )
);

DELETE FROM `PROJECT.DATASET.embeddings_journal` AS found
WHERE written_at < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY)
  AND EXISTS (
    SELECT *
    FROM (
      SELECT message_id, model, model_version, version, revision, written_at
      FROM `PROJECT.DATASET.embeddings_journal`
      WHERE TRUE
      QUALIFY ROW_NUMBER() OVER (
        PARTITION BY message_id, model, model_version
        ORDER BY version DESC, written_at DESC, revision DESC
      ) = 1
    ) AS newest
    WHERE newest.message_id = found.message_id
      AND newest.model = found.model
      AND newest.model_version = found.model_version
      AND (
        newest.version != found.version
        OR newest.revision != found.revision
        OR newest.written_at != found.written_at
      )
  );
