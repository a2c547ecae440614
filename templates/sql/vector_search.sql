-- The sentences nearest to one of the table, @id, itself first, among the rows of one version of a model; a double is
-- shown once. SELECT DISTINCT model, model_version names the versions: vectors of two say nothing of each other.
-- The search reads the table and not the view, which VECTOR_SEARCH does not take, and runs in the table's project.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' vector_search.sql |
--     bq query --project_id=my-project --nouse_legacy_sql --parameter=id::ID --parameter=model_version::VERSION
SELECT
  ANY_VALUE(base.content) AS content,
  base.message_id AS message_id,
  MIN(distance) AS distance
FROM VECTOR_SEARCH(
  (SELECT id, message_id, content, embedding FROM `PROJECT.DATASET.embeddings` WHERE model_version = @model_version),
  'embedding',
  (SELECT embedding FROM `PROJECT.DATASET.embeddings` WHERE id = @id AND model_version = @model_version LIMIT 1),
  top_k => 20,
  distance_type => 'COSINE'
)
GROUP BY base.id, base.message_id
ORDER BY distance
LIMIT 10;
