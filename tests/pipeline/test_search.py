"""Search over rows in Parquet and in BigQuery."""

import io
import pathlib
import subprocess
import sys
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
from tests.conftest import ROOT
from tests.pipeline.test_cli import arguments, write_messages
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder
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


@pytest.mark.subprocess
def test_a_search_needs_neither_tensorflow_nor_beam(write: Any, minilm: TextEncoder) -> None:
    """Their imports take longer than the search itself."""
    glob = write(row(0, "right", [1] * 384, version=minilm.version))
    code = (
        "import sys; from pipeline.search.__main__ import main; "
        f"assert main(['--embeddings={glob}', '--model=minilm', 'x']) == 0; "
        "print(sorted({'tensorflow', 'apache_beam', 'pandas', 'google.cloud.bigquery'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[1:] == ["[]"]


def test_what_python_does_not_know_is_encoded_by_tensorflow(
    write: Any, minilm: TextEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A character that is younger than Python's tables changes no vector."""
    query = "caf\u00e9 \U0001fbfa\u0378"
    glob = write(row(0, "right", minilm.encode([query])[0], version=minilm.version))
    assert search.main([f"--embeddings={glob}", "--model=minilm", query]) == 0
    assert capsys.readouterr().out.startswith("1.000  right")


def test_queries_are_asked_for_until_a_blank_line(
    write: Any, text_encoder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the encoder that was loaded once."""
    version = load_encoder(EncoderOptions(str(text_encoder))).version
    glob = write(row(0, "short", [1, 2, 1, 1], version=version), row(1, "long", [9, 2, 1, 1], version=version))
    monkeypatch.setattr("sys.stdin", io.StringIO("x\nxxxxxxxxx\n\nignored\n"))
    assert search.main([f"--embeddings={glob}", f"--model={text_encoder}", "--limit=1", "--interactive"]) == 0
    assert [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()] == ["short", "long"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--embeddings=x", "--interactive"], "expected a query, or --interactive to be asked for queries"),
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
    monkeypatch.setattr(search, "Search", lambda *_: lambda *_: [])
    monkeypatch.setattr("pipeline.search.bigquery.BigQueryRows", lambda *how: given.append(how))
    assert search.main(["--bigquery=p:d.t", "--journal=p:d.j", "--all_versions", "query"]) == 0
    assert given == [("p:d.t", {}, "p:d.j", True)]
    monkeypatch.undo()
    assert search.main(["--bigquery=p:d.t", "--journal=j", "query"]) == 2
    assert "--journal: expected a table as project:dataset.table, got 'j'" in capsys.readouterr().err
