-- The current sentences nearest to one of the table, @id, among those of one version of a model; a double is shown once.
-- SELECT DISTINCT model, model_version names the versions: vectors of two say nothing of each other.
-- The search reads the table and not the view, which VECTOR_SEARCH does not take, and runs in the table's project. It
-- fetches ten times as many rows as it shows (top_k), because retired ones are left out only afterwards: raise top_k if
-- fewer are left. Once delete_retired.sql has run, it may be lowered.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' vector_search.sql |
--     bq query --project_id=my-project --nouse_legacy_sql --parameter=id::ID --parameter=model_version::VERSION
SELECT base.content, base.message_id, distance
FROM VECTOR_SEARCH(
  (
    SELECT id, message_id, content, model, model_version, revision, embedding
    FROM `PROJECT.DATASET.embeddings`
    WHERE model_version = @model_version
  ),
  'embedding',
  (SELECT embedding FROM `PROJECT.DATASET.embeddings` WHERE id = @id AND model_version = @model_version LIMIT 1),
  top_k => 100,
  distance_type => 'COSINE'
)
JOIN (
  SELECT message_id, model, model_version, revision
  FROM `PROJECT.DATASET.embeddings_journal`
  WHERE model_version = @model_version
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY message_id, model, model_version
    ORDER BY version DESC, written_at DESC, revision DESC
  ) = 1
) AS newest
ON newest.message_id = base.message_id
  AND newest.model = base.model
  AND newest.model_version = base.model_version
  AND newest.revision = base.revision
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY base.id ORDER BY distance) = 1
ORDER BY distance
LIMIT 10;
