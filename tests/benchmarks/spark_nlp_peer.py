"""Spark NLP's side of tests.benchmarks.spark_nlp, run by the Python of its own environment; it downloads nothing."""

import json
import pathlib
import sys
import time
from typing import Any

from pyspark.sql import SparkSession
from sparknlp.annotator import BertSentenceEmbeddings, SentenceDetector
from sparknlp.base import DocumentAssembler


def main() -> None:
    """Read what to do as JSON from standard input, and write what was found to the file that it names."""
    given = json.load(sys.stdin)
    builder = SparkSession.builder.master(f"local[{given['cores']}]").config("spark.driver.memory", "6g")
    builder = builder.config("spark.driver.extraClassPath", given["jars"] + "/*").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    spark = builder.config("spark.serializer", "org.apache.spark.serializer.KryoSerializer").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    assembler = DocumentAssembler().setInputCol("text").setOutputCol("document")

    def documents(texts: list[str]) -> Any:
        frame = spark.createDataFrame(list(enumerate(texts)), ["place", "text"]).repartition(given["cores"], "place")
        held = assembler.transform(frame.sortWithinPartitions("place")).cache()
        held.count()
        return held

    def timed(frame: Any) -> float:
        frame.write.format("noop").mode("overwrite").save()
        start = time.perf_counter()
        frame.write.format("noop").mode("overwrite").save()
        return time.perf_counter() - start

    detector = SentenceDetector().setInputCols(["document"]).setOutputCol("sentence")
    detected = detector.transform(documents(given["texts"])).select("place", "sentence.result")
    bert = (
        BertSentenceEmbeddings.loadSavedModel(given["export"], spark).setInputCols(["document"]).setOutputCol("vector")
    )
    embedded = bert.transform(documents(given["sentences"])).select("place", "vector.embeddings")
    found = {
        "sentences": [sentence for row in sorted(detected.collect()) for sentence in row.result],
        "vectors": [row.embeddings[0] for row in sorted(embedded.collect())],
        "split_seconds": timed(detected),
        "embed_seconds": timed(embedded),
    }
    pathlib.Path(given["to"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
