-- How far each version of each model is: of how many messages it has the newest version that any model has seen, whole
-- (complete), how many it has not seen (missing), of how many it has an older version (stale), how many of its current
-- entries have dead letters, for how many versions it has entries of different content, and how long after their event
-- time current versions were written, in seconds.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' status.sql | bq query --nouse_legacy_sql
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
  ),
  models AS (
    SELECT model, model_version, COUNTIF(revisions > 1) AS version_conflicts
    FROM (
      SELECT model, model_version, message_id, version, COUNT(DISTINCT revision) AS revisions
      FROM `PROJECT.DATASET.embeddings_journal`
      GROUP BY model, model_version, message_id, version
    )
    GROUP BY model, model_version
  )
SELECT
  models.model,
  models.model_version,
  COUNTIF(NOT messages.deleted) AS messages,
  COUNTIF(
    NOT (messages.deleted OR entries.deleted)
    AND entries.version = messages.version
    AND entries.`rows` = entries.sentences
  ) AS complete,
  COUNTIF(NOT messages.deleted AND entries.message_id IS NULL) AS missing,
  COUNTIF(entries.version < messages.version AND NOT (messages.deleted AND entries.deleted)) AS stale,
  COUNTIF(entries.dead_letters > 0) AS dead_lettered,
  ANY_VALUE(models.version_conflicts) AS version_conflicts,
  COUNTIF(entries.deleted) AS deleted,
  APPROX_QUANTILES(TIMESTAMP_DIFF(entries.written_at, entries.event_time, MILLISECOND), 100)[OFFSET(50)] / 1000
    AS freshness_p50,
  APPROX_QUANTILES(TIMESTAMP_DIFF(entries.written_at, entries.event_time, MILLISECOND), 100)[OFFSET(99)] / 1000
    AS freshness_p99
FROM models
CROSS JOIN messages
LEFT JOIN entries
ON entries.message_id = messages.message_id
  AND entries.model = models.model
  AND entries.model_version = models.model_version
GROUP BY models.model, models.model_version
ORDER BY models.model, models.model_version;
