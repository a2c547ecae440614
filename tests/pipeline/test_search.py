"""Search over rows in Parquet and in BigQuery."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlglot
from google.api_core.exceptions import NotFound

from pipeline.__main__ import main as pipeline
from pipeline.search import __main__ as search
from pipeline.search.bigquery import BigQueryRows, models_sql, search_sql
from pipeline.search.parquet import ParquetRows
from tests.conftest import DATA
from tests.pipeline.test_cli import arguments, read_rows, write_messages
from tests.transforms.encoder.bert.reference import PROMPTS, TEXTS
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import load_encoder
from transforms.schema import embeddings_to_arrow
from transforms.types import SentenceEmbedding


def row(index: int, content: str, vector: Any, genre: str = "mail", version: str = "v") -> SentenceEmbedding:
    """A row with defaults."""
    data = np.asarray(vector, "<f4").tobytes()
    metadata = {"genre": genre, "n": str(index)}
    return SentenceEmbedding(
        f"id{index}",
        f"m{index}",
        0,
        0,
        len(content),
        content,
        metadata,
        None,
        "",
        data,
        "model",
        version,
        "f",
        3,
        False,
    )


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Any:
    """Writes rows to files of 100 each, and gives their glob."""

    def write(*rows: SentenceEmbedding) -> str:
        for start in range(0, len(rows), 100):
            pq.write_table(embeddings_to_arrow(rows[start : start + 100]), tmp_path / f"rows-{start}.parquet")
        return f"{tmp_path}/*.parquet"

    return write


def test_it_is_exact(write: Any) -> None:
    """The same rows and cosines as NumPy finds, vectors of any length."""
    random = np.random.default_rng(0)
    vectors = random.normal(0, 3, (500, 8)).astype(np.float32)
    query = random.normal(0, 1, 8).astype(np.float32)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    found = ParquetRows(write(*(row(i, f"s{i}", v) for i, v in enumerate(vectors))), {}).nearest(query, "v", 10)
    best = np.argsort(-cosines)[:10]
    assert [content for _, content, _, _ in found] == [f"s{i}" for i in best]
    np.testing.assert_allclose([score for score, *_ in found], cosines[best], atol=1e-6)
    assert found[0][2:] == (f"m{best[0]}", {"genre": "mail", "n": str(best[0])})


def test_a_content_comes_once_and_a_zero_vector_never(write: Any) -> None:
    """However often it is there, the best one counts."""
    rows = [row(i, "Thanks!", [1, i / 100]) for i in range(50)] + [row(98, "zero", [0, 0]), row(99, "other", [0, 1])]
    found = ParquetRows(write(*rows), {}).nearest(np.array([1, 0], np.float32), "v", 3)
    assert [(content, message) for _, content, message, _ in found] == [("Thanks!", "m0"), ("other", "m99")]


def test_only_rows_with_the_metadata_are_searched(write: Any) -> None:
    """All pairs have to be there."""
    glob = write(row(0, "a", [1, 0]), row(1, "b", [1, 0.1], "blog"), row(2, "c", [1, 0.2], "blog"))
    query = np.array([1, 0], np.float32)
    assert [r[1] for r in ParquetRows(glob, {"genre": "blog"}).nearest(query, "v", 5)] == ["b", "c"]
    assert [r[1] for r in ParquetRows(glob, {"genre": "blog", "n": "2"}).nearest(query, "v", 5)] == ["c"]
    assert ParquetRows(glob, {"genre": "it's"}).nearest(query, "v", 5) == []


def test_rows_of_several_models_need_a_choice(
    write: Any, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And only the chosen one's are searched."""
    version = load_encoder(EncoderOptions(str(text_encoder))).version
    glob = write(row(0, "right", [1, 2, 1, 1], version=version), row(1, "wrong", [1, 2, 1, 1], version="w"))
    assert search.main([f"--embeddings={glob}", "x"]) == 2
    assert "expected rows of one model, got model version" in capsys.readouterr().err
    assert search.main([f"--embeddings={glob}", "x", f"--model={text_encoder}"]) == 0
    assert capsys.readouterr().out == "1.000  right  [m0]  genre=mail  n=0\n"


def test_only_current_rows_are_searched_unless_all_are_asked_for(
    tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one line says how many others there are."""
    for number, text in ((1, "Old text. Same."), (2, "New text. Same.")):
        write_messages(tmp_path, {"id": "a", "text": text, "at": number})
        options = {"timestamp_field": "at", "output": tmp_path / "out" / str(number)}
        assert pipeline(arguments(tmp_path, text_encoder, **options)) == 0
    capsys.readouterr()
    ask = [f"--embeddings={tmp_path}/out/*.parquet", f"--model={text_encoder}", "text"]
    assert search.main(ask) == 0
    printed = capsys.readouterr()
    assert sorted(line.split("  ")[1] for line in printed.out.splitlines()) == ["New text.", "Same."]
    assert printed.err == "left out 2 rows that are not current; --all_versions shows them\n"
    assert search.main([*ask, "--all_versions"]) == 0
    printed = capsys.readouterr()
    assert sorted(line.split("  ")[1] for line in printed.out.splitlines()) == ["New text.", "Old text.", "Same."]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--embeddings=/no/such/*"], "expected --embeddings to match Parquet files, '/no/such/*' matches none"),
        (["--embeddings=pyproject.toml"], "expected rows of the pipeline in 'pyproject.toml'"),
        (["--bigquery=dataset.table"], "--bigquery: expected a table as project:dataset.table, got 'dataset.table'"),
        (["--embeddings=x", "--filter=genre"], "expected --filter as KEY=VALUE, got 'genre'"),
        (["--embeddings=x", "--limit=0"], "expected --limit of at least 1, got 0"),
    ],
)
def test_a_wrong_search_is_refused_with_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    """Exit code 2, before the model is loaded."""
    assert search.main([*options, "query"]) == 2
    printed = capsys.readouterr().err
    assert reason in printed
    assert printed.count("\n") == 1


def test_bigquerys_statements_are_bigquerys_sql() -> None:
    """They parse in its dialect, filter before they search, and name every parameter."""
    (parsed,) = sqlglot.parse(search_sql("p-1.d.t", 2, 5, 50), dialect="bigquery")
    assert parsed is not None
    names = {parameter.name for parameter in parsed.find_all(sqlglot.exp.Parameter)}
    assert names == {"query", "model_version", "key0", "value0", "key1", "value1"}
    (search,) = parsed.find_all(sqlglot.exp.VectorSearch)
    (table,) = search.find_all(sqlglot.exp.Table)
    assert table.sql("bigquery").replace("`", "") == "p-1.d.t"
    assert table.find_ancestor(sqlglot.exp.Select).args["where"] is not None
    assert "top_k => 50" in parsed.sql("bigquery")
    assert sqlglot.parse_one(models_sql("p-1.d.t"), dialect="bigquery").find(sqlglot.exp.Distinct)


class Client:
    """Takes what google.cloud.bigquery.Client would send, and gives one row."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def get_table(self, name: str) -> None:
        """Nothing has a journal."""
        raise NotFound(name)

    def query(self, sql: str, job_config: Any) -> Any:
        """Keep the statement with its parameters in the REST API's form."""
        parameters = {p["name"]: p for p in (p.to_api_repr() for p in job_config.query_parameters)}
        self.sent.append((sql, parameters))
        return self

    def result(self) -> list[dict[str, Any]]:
        """As rows of the client can be read."""
        metadata = [{"key": "k", "value": "v"}]
        return [{"score": 0.5, "content": "c", "message_id": "m", "metadata": metadata}]


def test_bigquery_gets_the_query_as_parameters() -> None:
    """Nothing of the user's goes into the statement but the table."""
    client = Client()
    rows = BigQueryRows("example.com:p:d.t", {"genre": "a'b"}, client=client)
    found = rows.nearest(np.array([1, 2], np.float32), "v", 5)
    assert found == [(0.5, "c", "m", {"k": "v"})]
    ((sql, parameters),) = client.sent
    assert "`example.com:p.d.t`" in sql
    assert "a'b" not in sql
    assert parameters["query"]["parameterValue"]["arrayValues"] == [{"value": 1.0}, {"value": 2.0}]
    assert parameters["value0"]["parameterValue"] == {"value": "a'b"}
    assert parameters["model_version"]["parameterType"] == {"type": "STRING"}


def test_a_table_is_searched_by_the_journal_that_was_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As files are; a name that is none is refused at once."""
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(search, "search", lambda *_: [])
    monkeypatch.setattr(search, "BigQueryRows", lambda *how: given.append(how))
    assert search.main(["--bigquery=p:d.t", "--journal=p:d.j", "--all_versions", "query"]) == 0
    assert given == [("p:d.t", {}, "p:d.j", True)]
    monkeypatch.undo()
    assert search.main(["--bigquery=p:d.t", "--journal=j", "query"]) == 2
    assert "--journal: expected a table as project:dataset.table, got 'j'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_query_is_read_with_its_prompt_and_rows_with_theirs(
    trained: Callable[[str], str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's summary says both, rows keep the sentences as they are, and the scores are sentence-transformers'."""
    expected = json.loads((DATA / "sentence_transformers.json").read_text())
    write_messages(tmp_path, {"id": "a", "text": TEXTS[0]}, {"id": "b", "text": TEXTS[1]})
    options = {"max_seq_length": 40, "min_length": 1}
    assert pipeline(arguments(tmp_path, trained("sizes"), **options, truncate_dim=8)) == 0
    printed = capsys.readouterr().out
    assert f"prompts       {PROMPTS['passage']!r} of sentences, {PROMPTS['query']!r} of queries\n" in printed
    made = read_rows(tmp_path)
    assert [(each["content"], each["begin"], each["end"], len(each["embedding"])) for each in made] == [
        (text, 0, len(text), 8) for text in TEXTS[:2]
    ]
    ask = [f"--embeddings={tmp_path}/out/*.parquet", f"--model={trained('sizes')}", "--max_seq_length=40", TEXTS[3]]
    for prompt in ("query", "none"):
        assert search.main([*ask, "--truncate_dim=8", f"--query_prompt={prompt}"]) == 0
        best = [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
        vectors, query = (np.array(expected[f"sizes {name} 8"]) for name in ("passage", prompt))
        cosines = vectors[:2] @ query[3] / np.linalg.norm(vectors[:2], axis=1) / np.linalg.norm(query[3])
        np.testing.assert_allclose(best, sorted(cosines, reverse=True), atol=6e-4)
    assert search.main(ask) == 2
    assert "the --pooling, --normalize, --max_seq_length, --prompt, --truncate_dim and" in capsys.readouterr().err
    assert search.main([*ask, "--truncate_dim=8", "--query_prompt=qurey"]) == 2
    assert "expected the query's prompt as clustering, none, passage, query, or a text" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no_norm", "sizes"])
def test_a_similarity_that_is_not_searched_by_is_said(
    trained: Callable[[str], str], write: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Unless the vectors are all of one length, when the cosine ranks as it does."""
    encoder = load_encoder(EncoderOptions(trained(name), max_seq_length=40))
    rows = ParquetRows(write(row(0, "dog", encoder.encode(["dog"])[0], version=encoder.version)), {})
    search.search(rows, "dog", EncoderOptions(trained(name), max_seq_length=40))
    assert ("was trained for the similarity 'dot', rows are ranked by cosine" in caplog.text) == (name == "no_norm")
