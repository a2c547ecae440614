-- How much of what an exact search finds the vector index finds, too: of the ten rows nearest to each of 100 rows of one
-- version of a model, taken by a hash of their ids. Rows at the same distance count alike.
-- If recall is too low, give searches a larger options => '{"fraction_lists_to_search": 0.05}', and say the same here.
-- Without an index, or if the job's IndexUnusedReason says that it was not used, both searches are exact: recall is 1.
-- The exact one reads all vectors of the version, and costs what they do.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' index_recall.sql |
--     bq query --project_id=my-project --nouse_legacy_sql --parameter=model_version::VERSION
WITH queries AS (
  SELECT id, ANY_VALUE(embedding) AS embedding
  FROM `PROJECT.DATASET.embeddings`
  WHERE model_version = @model_version
  GROUP BY id
  ORDER BY FARM_FINGERPRINT(id)
  LIMIT 100
),
by_index AS (
  SELECT query.id AS query_id, distance
  FROM VECTOR_SEARCH(
    (SELECT embedding FROM `PROJECT.DATASET.embeddings` WHERE model_version = @model_version),
    'embedding',
    (SELECT id, embedding FROM queries),
    top_k => 10,
    distance_type => 'COSINE'
  )
),
exact AS (
  SELECT query.id AS query_id, distance
  FROM VECTOR_SEARCH(
    (SELECT embedding FROM `PROJECT.DATASET.embeddings` WHERE model_version = @model_version),
    'embedding',
    (SELECT id, embedding FROM queries),
    top_k => 10,
    distance_type => 'COSINE',
    options => '{"use_brute_force": true}'
  )
),
farthest AS (SELECT query_id, COUNT(*) AS found, MAX(distance) AS distance FROM exact GROUP BY query_id),
recalls AS (
  SELECT farthest.query_id, COUNTIF(by_index.distance <= farthest.distance + 1e-9) / ANY_VALUE(farthest.found) AS recall
  FROM farthest
  LEFT JOIN by_index ON by_index.query_id = farthest.query_id
  GROUP BY farthest.query_id
)
SELECT COUNT(*) AS queries, AVG(recall) AS recall, MIN(recall) AS least FROM recalls;
