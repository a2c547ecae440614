"""Search over rows in Parquet and in BigQuery."""

import datetime
import io
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlglot
from google.api_core.exceptions import NotFound
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.__main__ import main as pipeline
from pipeline.search import __main__ as search
from pipeline.search.bigquery import BigQueryRows, models_sql, search_sql, words_sql
from pipeline.search.fusion import fused, words_of
from pipeline.search.parquet import ParquetRows
from pipeline.search.places import EVERYTHING, Filters, Found
from pipeline.search.searching import Search
from tests.conftest import DATA, ROOT
from tests.pipeline.test_cli import arguments, read_rows, write_messages
from tests.transforms.encoder.bert.reference import PROMPTS, TEXTS
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder, load_encoder
from transforms.kinds import ROWS
from transforms.types import SentenceEmbedding

NOON = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
FILTERS = Filters({"a": "b", "c": "d"}, NOON, NOON)


def row(
    index: int, content: str, vector: Any, genre: str = "mail", version: str = "v", time: int | None = None
) -> SentenceEmbedding:
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
        time,
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
            pq.write_table(ROWS.to_arrow(rows[start : start + 100]), tmp_path / f"rows-{start}.parquet")
        return f"{tmp_path}/*.parquet"

    return write


def test_it_is_exact(write: Any) -> None:
    """The same rows and cosines as NumPy finds, vectors of any length."""
    random = np.random.default_rng(0)
    vectors = random.normal(0, 3, (500, 8)).astype(np.float32)
    query = random.normal(0, 1, 8).astype(np.float32)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    found = ParquetRows(write(*(row(i, f"s{i}", v) for i, v in enumerate(vectors)))).nearest(query, "v", 10)
    best = np.argsort(-cosines)[:10]
    assert [content for _, content, _, _ in found] == [f"s{i}" for i in best]
    np.testing.assert_allclose([score for score, *_ in found], cosines[best], atol=1e-6)
    assert found[0][2:] == (f"m{best[0]}", {"genre": "mail", "n": str(best[0])})


def test_a_content_comes_once_and_a_zero_vector_never(write: Any) -> None:
    """However often it is there, the best one counts."""
    rows = [row(i, "Thanks!", [1, i / 100]) for i in range(50)] + [row(98, "zero", [0, 0]), row(99, "other", [0, 1])]
    found = ParquetRows(write(*rows)).nearest(np.array([1, 0], np.float32), "v", 3)
    assert [(content, message) for _, content, message, _ in found] == [("Thanks!", "m0"), ("other", "m99")]


def test_only_rows_with_the_metadata_are_searched(write: Any) -> None:
    """All pairs have to be there."""
    glob = write(row(0, "a", [1, 0]), row(1, "b", [1, 0.1], "blog"), row(2, "c", [1, 0.2], "blog"))
    query = np.array([1, 0], np.float32)
    assert [r[1] for r in ParquetRows(glob, Filters({"genre": "blog"})).nearest(query, "v", 5)] == ["b", "c"]
    assert [r[1] for r in ParquetRows(glob, Filters({"genre": "blog", "n": "2"})).nearest(query, "v", 5)] == ["c"]
    assert ParquetRows(glob, Filters({"genre": "it's"})).nearest(query, "v", 5) == []


def test_only_rows_of_a_time_are_searched(write: Any) -> None:
    """From the first to before the second; a row without a time is of none."""
    day = 86_400_000_000
    noon = int(NOON.timestamp() * 1_000_000)
    times = [noon - day, noon, noon + day, None]
    glob = write(*(row(i, f"s{i} word", [1, i / 10], time=time) for i, time in enumerate(times)))
    tomorrow = NOON + datetime.timedelta(days=1)
    for filters, expected in (
        (Filters({}, NOON, tomorrow), ["s1 word"]),
        (Filters({}, since=NOON), ["s1 word", "s2 word"]),
        (Filters({}, until=tomorrow), ["s0 word", "s1 word"]),
    ):
        rows = ParquetRows(glob, filters)
        assert [found.content for found in rows.nearest(np.array([1, 0], np.float32), "v", 5)] == expected
        assert sorted(found.content for found in rows.with_words(["word"], "v", 5)) == expected


def test_words_are_ranked_by_bm25(write: Any) -> None:
    """The rarer word counts more, and the shorter sentence; in any case, and as a whole word only."""
    rows = [
        "Order INV-2024 of the cat",
        "the cat",
        "THE dog",
        "the bird and the long tail of the comet",
        "cats, others",
    ]
    found = ParquetRows(write(*(row(i, text, [1, 0]) for i, text in enumerate(rows))))
    assert [each.content for each in found.with_words(["cat"], "v", 5)] == ["the cat", "Order INV-2024 of the cat"]
    assert found.with_words(words_of("inv-2024 THE"), "v", 5)[0].content == rows[0]
    assert {each.content for each in found.with_words(["the"], "v", 5)} == set(rows[:4])
    assert found.with_words(["none"], "v", 5) == []
    assert found.with_words([], "v", 5) == []
    assert found.with_words(["the"], "w", 5) == []


def test_a_sentence_needs_the_words_that_say_something(write: Any) -> None:
    """With only the most frequent ones of a query, it is no answer to it."""
    texts = [*(f"the {i}" for i in range(8)), "a wombat", "the wombat and a platypus"]
    rows = ParquetRows(write(*(row(i, text, [1, 0]) for i, text in enumerate(texts))))
    assert [found.content for found in rows.with_words(["the", "platypus"], "v", 20)] == [texts[-1]]
    assert [found.content for found in rows.with_words(["the", "unknown"], "v", 20)] == []


@given(st.lists(st.text("ab \u00c4\u00df-_1.", max_size=12), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_words_are_found_by_what_a_library_finds_them_by(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    """Each row that has a word, and no other, whatever is between words."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(ROWS.to_arrow([row(i, f"{i} {text}", [1, 0]) for i, text in enumerate(texts)]), path)
    rows = ParquetRows(str(path))
    for word in {word for text in texts for word in words_of(text)}:
        expected = {f"{i} {text}" for i, text in enumerate(texts) if word in words_of(f"{i} {text}")}
        assert {found.content for found in rows.with_words([word], "v", 100)} == expected


def test_rankings_are_fused_by_reciprocal_ranks() -> None:
    """What both know is before what one has first; sentences without content differ by their message."""

    def ranking(*contents: str) -> list[Found]:
        return [Found(0, content, f"m{content}", {}) for content in contents]

    best = fused([ranking("a", "b", "c"), ranking("d", "b")], 3)
    assert [found.content for found in best] == ["b", "a", "d"]
    assert best[0].score == pytest.approx(2 / 62)
    assert len(fused([[Found(0, "", "x", {}), Found(0, "", "y", {})]], 5)) == 2


def test_a_code_is_found_by_its_words(
    write: Any, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The vectors of this test's model tell nothing but lengths."""
    version = load_encoder(EncoderOptions(str(text_encoder))).version
    glob = write(row(0, "Order INV-7.", [-1, 0, 0, 0], version=version), row(1, "near", [5, 10, 1, 1], version=version))
    ask = [f"--embeddings={glob}", f"--model={text_encoder}", "--limit=1", "inv-7"]
    assert search.main(ask) == 0
    assert capsys.readouterr().out.split("  ")[1] == "near"
    assert search.main([*ask, "--hybrid"]) == 0
    assert capsys.readouterr().out.split("  ")[1] == "Order INV-7."


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


@pytest.mark.parametrize("file", ["encoder/saved_model.pb", "preprocessor/saved_model.pb", "encoder/variables/*.index"])
def test_a_damaged_model_is_said_in_one_line(
    write: Any, tiny_bert: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """By TensorFlow, whatever was cut off."""
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    (damaged,) = model.glob(file)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    assert search.main([f"--embeddings={write(row(0, 'a', [1, 0]))}", f"--model={model}", "x"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("python -m pipeline.search: expected")
    assert printed.count("\n") == 1


def test_queries_are_asked_for_until_a_blank_line(
    write: Any, text_encoder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the encoder that was loaded once."""
    version = load_encoder(EncoderOptions(str(text_encoder))).version
    glob = write(row(0, "short", [1, 2, 1, 1], version=version), row(1, "long", [9, 18, 1, 1], version=version))
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
        (["--embeddings=x", "--since=May"], "expected --since as ISO 8601, such as 2024-05-01, got 'May'"),
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
    (parsed,) = sqlglot.parse(search_sql("p-1.d.t", FILTERS, 5, 50), dialect="bigquery")
    assert parsed is not None
    names = {parameter.name for parameter in parsed.find_all(sqlglot.exp.Parameter)}
    assert names == {"query", "model_version", "key0", "value0", "key1", "value1", "since", "until"}
    (search,) = parsed.find_all(sqlglot.exp.VectorSearch)
    (table,) = search.find_all(sqlglot.exp.Table)
    assert table.sql("bigquery").replace("`", "") == "p-1.d.t"
    assert table.find_ancestor(sqlglot.exp.Select).args["where"] is not None
    assert "top_k => 50" in parsed.sql("bigquery")
    assert sqlglot.parse_one(models_sql("p-1.d.t"), dialect="bigquery").find(sqlglot.exp.Distinct)


def test_bigquerys_words_are_bigquerys_sql() -> None:
    """Parameters, filters and the journal, and no column that costs what it does not show."""
    (parsed,) = sqlglot.parse(words_sql("p.d.t", FILTERS, 2, 5, "p.d.j"), dialect="bigquery")
    assert parsed is not None
    names = {parameter.name for parameter in parsed.find_all(sqlglot.exp.Parameter)}
    assert names == {"word0", "word1", "model_version", "key0", "value0", "key1", "value1", "since", "until"}
    assert "embedding" not in {column.name for column in parsed.find_all(sqlglot.exp.Column)}
    assert "SEARCH(content, @word0) OR SEARCH(content, @word1)" in parsed.sql("bigquery")


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
    rows = BigQueryRows("example.com:p:d.t", Filters({"genre": "a'b"}), client=client)
    found = rows.nearest(np.array([1, 2], np.float32), "v", 5)
    assert found == [(0.5, "c", "m", {"k": "v"})]
    ((sql, parameters),) = client.sent
    assert "`example.com:p.d.t`" in sql
    assert "a'b" not in sql
    assert parameters["query"]["parameterValue"]["arrayValues"] == [{"value": 1.0}, {"value": 2.0}]
    assert parameters["value0"]["parameterValue"] == {"value": "a'b"}
    assert parameters["model_version"]["parameterType"] == {"type": "STRING"}


def test_bigquery_gets_words_and_times_as_parameters() -> None:
    """Words between backticks, as AND and OR are operators of SEARCH's."""
    client = Client()
    rows = BigQueryRows("p:d.t", Filters({}, since=NOON), client=client)
    assert rows.with_words(["or", "x"], "v", 5) == [Found(0.5, "c", "m", {"k": "v"})]
    assert rows.with_words([], "v", 5) == []
    ((_, parameters),) = client.sent
    assert parameters["word0"]["parameterValue"] == {"value": "`or`"}
    assert parameters["since"]["parameterType"] == {"type": "TIMESTAMP"}
    assert "until" not in parameters


def test_a_table_is_searched_by_the_journal_that_was_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As files are; a name that is none is refused at once."""
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(search, "Search", lambda *_: lambda *_: [])
    monkeypatch.setattr("pipeline.search.bigquery.BigQueryRows", lambda *how: given.append(how))
    assert search.main(["--bigquery=p:d.t", "--journal=p:d.j", "--all_versions", "query"]) == 0
    assert given == [("p:d.t", EVERYTHING, "p:d.j", True)]
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
    rows = ParquetRows(write(row(0, "dog", encoder.encode(["dog"])[0], version=encoder.version)))
    Search(rows, EncoderOptions(trained(name), max_seq_length=40))
    assert ("was trained for the similarity 'dot', rows are ranked by cosine" in caplog.text) == (name == "no_norm")
