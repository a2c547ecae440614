-- The sentences nearest to one of the table, @id, among those of the model @model; a double is shown once.
-- The search reads the table and not the view: of a view BigQuery uses no index.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' vector_search.sql |
--     bq query --nouse_legacy_sql --parameter=id::ID --parameter=model::minilm
SELECT
  ANY_VALUE(base.content) AS content,
  base.message_id AS message_id,
  MIN(distance) AS distance
FROM VECTOR_SEARCH(
  (SELECT * FROM `PROJECT.DATASET.embeddings` WHERE model = @model),
  'embedding',
  (SELECT embedding FROM `PROJECT.DATASET.embeddings` WHERE id = @id AND model = @model LIMIT 1),
  top_k => 20,
  distance_type => 'COSINE'
)
GROUP BY base.id, base.message_id
ORDER BY distance
LIMIT 10;
