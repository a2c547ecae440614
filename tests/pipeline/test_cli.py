"""The program as its users run it."""

import datetime
import io
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import export_encoder, local
from pipeline.__main__ import main
from pipeline.search import __main__ as search
from tests.conftest import ROOT, as_arguments
from tests.pipeline.program import Program, arguments, read_files, write_messages
from transforms.dataframe import embed
from transforms.encoder.text_encoder import TextEncoder

TWO_PROCESSES = {"direct_running_mode": "multi_processing", "direct_num_workers": 2}


def started(*args: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """`python -m pipeline` in a process of its own, by a test with the fixture `warm`."""
    command = ["python", "-m", "pipeline", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, **options)


def test_files_become_rows_and_a_summary(run: Program) -> None:
    """Every invariant of a row holds, and the end of the run says what it did."""
    texts = {"a": "Hello there. How are you?", "b": "Fine."}
    lines = run.lines(*({"id": key, "text": text, "lang": "en"} for key, text in texts.items()))
    rows = run.rows()
    assert [(row["message_id"], row["sentence_index"]) for row in rows] == [("a", 0), ("a", 1), ("b", 0)]
    for row in rows:
        assert texts[row["message_id"]][row["begin"] : row["end"]] == row["content"]
        assert row["embedding"][0] == len(row["content"])
        assert row["metadata"] == [{"key": "lang", "value": "en"}]
    assert lines[0].startswith("rows          3")
    assert "dead letters  none" in lines


@pytest.mark.parametrize(
    ("option", "name", "code", "line"),
    [
        ("id_field", "ident", 1, "id_field 'ident' in none of 2 messages; did you mean 'id'?"),
        ("timestamp_field", "tiem", 0, "timestamp_field 'tiem' in none of 2 messages; did you mean 'time'?"),
        ("language_field", "zzz", 0, "language_field 'zzz' in none of 2 messages"),
        ("metadata_fields", "lang,lnag", 0, "metadata_fields 'lnag' in none of 2 messages; did you mean 'lang'?"),
    ],
)
def test_an_option_that_names_nothing_is_said(run: Program, option: str, name: str, code: int, line: str) -> None:
    """Rows without the ids that were asked for are no success."""
    messages = ({"id": i, "text": "Hi there.", "time": 5, "lang": "en"} for i in range(2))
    ran = run(*messages, **{option: name})
    assert ran.code == code
    assert f"not found     {line}" in ran.out.splitlines()


def test_times_that_are_hardly_milliseconds_are_said(run: Program) -> None:
    """Seconds of our time, read as milliseconds, are of January 1970."""
    times = (1_700_000_000, 1_700_000_000_000, "2024-01-01T00:00:00Z")
    messages = ({"id": index, "text": "Hi.", "time": time} for index, time in enumerate(times))
    said = [line for line in run.lines(*messages, timestamp_field="time") if line.startswith("times ")]
    assert said == ["times         1 messages of January 1970; give seconds as milliseconds, or RFC 3339"]


def test_the_languages_that_were_detected_are_counted(run: Program) -> None:
    """The most frequent first, and each row says its own."""
    texts = ("Er kam am 3. Oktober.", "He came in October.", "Nobody was waiting for him.", "OK")
    lines = run.lines(*({"id": index, "text": text} for index, text in enumerate(texts)), language="auto")
    assert "languages     detected: 2 en, 1 de, 1 und" in lines
    assert [row["metadata"][0]["value"] for row in run.rows()] == ["de", "en", "en", "und"]


def test_the_reasons_of_dead_letters_are_listed(run: Program) -> None:
    """The most frequent first, with one example of each."""
    broken = ({"id": i, "body": "No text."} for i in range(3))
    lines = run.lines(*broken, {"id": 9, "text": 7}, {"id": 10, "text": "Hi."})
    first = next(row for row, line in enumerate(lines) if line.startswith("dead letters  4"))
    assert lines[first + 1].strip() == "3 such as: ValueError: expected a field 'text', got ['body', 'id']"
    assert lines[first + 2].strip() == "1 such as: ValueError: expected text in the field 'text', got a number"


@pytest.mark.parametrize(
    ("most", "code"), [("", 0), ("1", 0), ("0", 1), ("0.5", 0), ("0.25", 0), ("0.2", 1), (".1", 1), ("x", 2), ("5%", 2)]
)
def test_a_run_with_too_many_dead_letters_fails(run: Program, most: str, code: int) -> None:
    """A number or a share; its rows replace none."""
    ran = run(*({"id": i, "text": "Hi."} for i in range(3)), {"id": 9}, max_dead_letters=most)
    assert ran.code == code
    assert len(run.rows()) == (0 if code else 3)
    reason = {
        0: "",
        1: f"expected at most {most} dead letters, got 1 of 4 read",
        2: "expected --max_dead_letters=COUNT|SHARE",
    }
    assert reason[code] in ran.err


def test_an_option_that_names_something_is_not_spoken_of(run: Program) -> None:
    """Even if only one message has the field."""
    assert "not found" not in "\n".join(run.lines({"id": 1, "text": "Hi there."}, {"text": "Hi again."}))


def write_udf(folder: pathlib.Path, *lines: str) -> str:
    """Write folder/udf.py with a function `make`, and return its path."""
    (folder / "udf.py").write_text("\n    ".join(["def make(message):", *lines]) + "\n")
    return str(folder / "udf.py")


def test_messages_go_through_a_function_of_the_users_own(run: Program) -> None:
    """The account of the records adds up, and the summary says what the function did."""
    udf = write_udf(
        run.folder,
        "if message['stars'] == 1: return None",
        "return [{'id': message['id'], 'text': text} for text in message['body'].split('|', 2 - 1 // message['n'])]",
    )
    messages = [("One.|Two.", 5, 1), ("Three.", 5, 2), ("Four.", 1, 1), ("Five.", 5, 0), ("|", 5, 2)]
    given = ({"id": i, "body": b, "stars": s, "n": n} for i, (b, s, n) in enumerate(messages))
    lines = run.lines(*given, udf=udf, udf_function="make", journal="none")
    rows = [(row["message_id"], row["content"]) for row in run.rows()]
    assert rows == [("0#0", "One."), ("0#1", "Two."), ("1#0", "Three.")]
    assert "records       5: 3 messages, 2 without text, 1 filtered, 1 dead letters of parsing" in lines
    assert not [line for line in lines if line.startswith("unaccounted")]
    (line,) = [line for line in lines if line.startswith("udf ")]
    assert line.startswith("udf           5 calls of ")
    assert line.endswith(f"ms on average, 2 messages more than records: make of {udf}")
    assert f"1 such as: ValueError: udf_function make failed at line 3 of {udf}: ZeroDivisionError" in "\n".join(lines)


def test_a_function_that_leaves_everything_out_makes_no_row(run: Program) -> None:
    """Which is no success."""
    ran = run({"id": 1, "text": "Hi."}, udf=write_udf(run.folder, "pass"), udf_function="make")
    assert ran.code == 1
    assert "expected rows, got none: 1 messages filtered" in ran.err


@pytest.mark.parametrize("options", [{"text_template": "{title}: {body}"}, {"udf_function": "make"}])
def test_a_csv_file_needs_no_column_of_the_text_where_it_is_made(run: Program, options: dict[str, str]) -> None:
    """By a template or a function."""
    (run.folder / "in.csv").write_text("id,title,body\n1,Soup,Cold.\n")
    if "udf_function" in options:
        make = "return {'text': f'{message[\"title\"]}: {message[\"body\"]}'}"
        options = {**options, "udf": write_udf(run.folder, make)}
    assert run(input=run.folder / "in.csv", input_format="csv", id_field="", **options).code == 0
    assert run.contents() == ["Soup: Cold."]


@pytest.mark.slow
def test_every_worker_process_has_the_function(run: Program) -> None:
    """Its source is a part of the pipeline."""
    udf = write_udf(run.folder, "return {**message, 'text': f'Text {message[\"id\"]}.'}")
    several = {"direct_running_mode": "multi_processing", "direct_num_workers": 2}
    run.lines(*({"id": i, "text": "x"} for i in range(40)), udf=udf, udf_function="make", **several)
    assert {*run.contents()} == {f"Text {i}." for i in range(40)}


@pytest.mark.parametrize(
    ("options", "content", "metadata"),
    [
        ({}, "Hello there.", {"lang": "en", "user": "u1"}),
        ({"metadata_fields": "lang, other"}, "Hello there.", {"lang": "en"}),
        ({"metadata_fields": ""}, "Hello there.", {}),
        ({"store_content": "false"}, "", {"lang": "en", "user": "u1"}),
    ],
)
def test_a_row_keeps_what_is_asked_for(
    run: Program, options: dict[str, str], content: str, metadata: dict[str, str]
) -> None:
    """The vector, id and offsets are those of the sentence all the same."""
    run.lines({"id": "a", "text": "Hello there.", "lang": "en", "user": "u1"}, **options)
    (row,) = run.rows()
    assert (row["content"], {pair["key"]: pair["value"] for pair in row["metadata"]}) == (content, metadata)
    assert (row["begin"], row["end"], row["embedding"][0]) == (0, 12, 12.0)


def test_the_same_run_twice_gives_the_same_rows(run: Program, tiny_bert: pathlib.Path) -> None:
    """Ids are equal, vectors too; the second run's files replace the first's, whatever their number."""
    run.out.mkdir()
    stale = run.out / "rows-00001-of-00002.parquet"
    stale.write_bytes(b"of an earlier run")
    os.utime(stale, (0, 0))
    runs = []
    for _ in range(2):
        messages = ({"id": i, "text": f"Good dog. Bad cat {i}!"} for i in range(20))
        run.lines(*messages, model=tiny_bert, max_seq_length=40)
        runs.append(run.rows())
    assert [row["id"] for row in runs[0]] == [row["id"] for row in runs[1]]
    first, second = ([row["embedding"] for row in rows] for rows in runs)
    np.testing.assert_allclose(first, second, atol=1e-6)


BROKEN = [
    b'{"id": "x", "text": "cut',
    b'{"id": "x", "text": "\xff\xfe"}',
    b'{"id": "x", "body": "no text"}',
    b'{"id": "x", "text": 7}',
    b'{"id": "x", "text": "lone \\ud800"}',
    b'["a list"]',
    b'{"id": "x", "text": "raw \x00 NUL"}',
    b'{"id": "x", "text": "bad time", "at": "noon"}',
    b'{"id": "x", "text": "raise the model"}',
    b'{"id": "x", "text": "' + b"long " * 1000 + b'"}',
]


def test_of_a_thousand_messages_a_hundred_broken_ones_are_dead_letters(run: Program) -> None:
    """All else is embedded, and the dead letters give back what came in, byte for byte."""
    lines = [
        BROKEN[(i // 10) % 10].replace(b'"x"', b'"x%d"' % i)
        if i % 10 == 5
        else json.dumps({"id": i, "text": f"Message number {i} is fine"}).encode()
        for i in range(1000)
    ]
    (run.folder / "in.jsonl").write_bytes(b"\n".join(lines))
    printed = run.lines(timestamp_field="at", max_message_bytes=4000)
    assert len({row["message_id"] for row in run.rows()}) == 900
    (path,) = (run.out / "dead_letters").glob("*.parquet")
    letters = pq.read_table(path).to_pylist()
    assert len(letters) == 100
    parsed = [
        letter["payload_bytes"] if letter["payload_string"] is None else letter["payload_string"].encode()
        for letter in letters
        if letter["stage"] == "Parse messages"
    ]
    broken = [line for i, line in enumerate(lines) if i % 10 == 5]
    assert sorted(parsed) == sorted(line for line in broken if b"raise" not in line)
    embedded = [json.loads(letter["payload_string"]) for letter in letters if letter["stage"] == "Embed sentences"]
    assert {element["content"] for element in embedded} == {"raise the model"}
    assert f"dead letters  100 (10 in embed, 90 in parse), each with its whole input, in {path.parent}" in "\n".join(
        printed
    )


@pytest.fixture
def counting_encoder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A text-in encoder of one dimension: how often it was called for texts that begin with "Number"."""
    import tensorflow as tf

    class Encoder(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts: Any) -> Any:
            # The texts by which a model is tried do not count, so that it gives each the same vector again.
            counts = tf.cast(tf.reduce_any(tf.strings.regex_full_match(texts, "Number .*")), tf.float32)
            return tf.fill([tf.size(texts), 1], self.calls.assign_add(counts))

    path = tmp_path / "counting"
    tf.saved_model.save(Encoder(), str(path))
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_two_processes_give_the_same_rows_as_one(run: Program, tiny_bert: pathlib.Path) -> None:
    """Both processes embed, and together they write each row once."""
    options = {"model": tiny_bert, "max_seq_length": 40}
    run.lines(*({"id": i, "text": f"Good dog, number {i}. Bad cat! {'dog ' * 90}"} for i in range(500)), **options)
    alone = run.rows()
    done = started(*arguments(run.folder, tiny_bert, **options, **TWO_PROCESSES))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "several worker processes: no progress is shown until the end\n"
    # A process writes a file of its own, so two files are two processes that embedded.
    assert len(list(run.out.glob("rows-*"))) == 2
    together = run.rows()
    assert [row["id"] for row in together] == [row["id"] for row in alone]
    found, expected = ([row["embedding"] for row in rows] for rows in (together, alone))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_large_model_is_loaded_once_for_two_processes(tmp_path: pathlib.Path, counting_encoder: pathlib.Path) -> None:
    """The model counts its calls, of one text each, and its count reaches the number of all texts."""
    write_messages(tmp_path, *({"id": i, "text": f"Number {i} {'x' * 200}."} for i in range(500)))
    one_by_one = ["--batch_size=50", "--large_model", "--token_budget=1"]
    done = started(*arguments(tmp_path, counting_encoder, **TWO_PROCESSES), *one_by_one)
    assert done.returncode == 0, done.stderr
    files = [pq.read_table(path).to_pylist() for path in (tmp_path / "out").glob("rows-*")]
    assert len(files) == 2
    counts = [row["embedding"][0] for rows in files for row in rows]
    assert len(counts) == 500
    # Two models would have shared the texts. Calls at once may read one count, so not each is another.
    assert max(counts) == 500


@pytest.mark.usefixtures("warm")
def test_standard_input_is_read(run: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """- is a file like any other, with ids that do not depend on where it was spooled."""
    options = {"input": "-", "input_format": "text", "id_field": ""}
    done = started(*arguments(run.folder, run.model, **options), input="From standard input.\n")
    assert done.returncode == 0, done.stderr
    (row,) = run.rows()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"From standard input.\n")))
    assert run(**options).code == 0
    assert [again["id"] for again in run.rows()] == [row["id"]]


def test_a_directory_is_read_whole(run: Program) -> None:
    """Every file under it, at any depth."""
    place = run.folder / "in"
    (place / "deeper").mkdir(parents=True)
    (place / "a.txt").write_text("One.")
    (place / "deeper" / "b.txt").write_text("Two.")
    run.lines(input=place, input_format="document", id_field="")
    assert sorted(run.contents()) == ["One.", "Two."]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "no_such_model"}, "expected a model's name, handle or directory, got 'no_such_model'"),
        ({"input": "/no/such/file"}, "expected --input to match a file, '/no/such/file' matches none"),
        ({"input": "/no/such/*.jsonl"}, "matches none; check the path"),
        (
            {"output": "dataset.table", "output_format": "bigquery"},
            "--output: expected a table as project:dataset.table",
        ),
        ({"output": "/proc/nothing/rows"}, "expected --output in a directory that can be written"),
        ({"output": "out/"}, "expected --output to be a path prefix"),
        (
            {"pooling": "pooled_output", "model": "universal_sentence_encoder"},
            "expected --pooling=model_default, ",
        ),
        ({"max_seq_length": 600, "model": "bert_base_cased"}, "up to 512, the most bert_base_cased reads, got 600"),
        ({"custom_bounds": "("}, "custom_bounds"),
        ({"runner": "DaskRunner"}, "expected a runner that keeps its data, got --runner=DaskRunner"),
        (
            {"udf": "/no/such.py", "udf_function": "f"},
            "expected --udf to be a Python file in UTF-8, could not read /no",
        ),
        ({"udf": __file__, "udf_function": "f"}, f"expected --udf_function to be a function of {__file__}, got 'f'"),
        ({"udf_function": "f"}, "expected --udf=PATH and --udf_function=NAME, got one of them"),
        (
            {"udf": __file__, "udf_function": "write_udf", "input_format": "rows"},
            "expected --udf with messages, got --input_format=rows, whose rows go through no function",
        ),
        ({"text_template": "{}"}, "expected --text_template with fields in braces"),
        ({"preprocessor": "/no/such/directory"}, "expected a SavedModel at /no/such/directory"),
        ({"model": "http://models.example/bert/1"}, "expected --model as an https handle, "),
        ({"model_version": "0123456789ab"}, "expected --model_version=0123456789ab, got "),
        (
            {"model_poll_seconds": 60},
            "expected --model as a local directory of numbered versions with --model_poll",
        ),
    ],
)
def test_a_wrong_run_is_refused_with_one_line_before_any_work(
    run: Program, in_directory: pathlib.Path, options: dict[str, Any], reason: str
) -> None:
    """Exit code 2, one line on standard error, no traceback."""
    assert reason in run.refusal({"id": 1, "text": "Hi."}, **options)


@pytest.mark.subprocess
def test_keras_is_left_for_those_who_ask_for_it() -> None:
    """Not imported with TensorFlow, and there for who wants it later."""
    code = (
        "import sys; from pipeline import console; console.import_tensorflow(); from transforms.encoder import hub; "
        "hub.register_text_ops(); assert 'keras' not in sys.modules; "
        "import tensorflow; print(tensorflow.keras.layers.Dense(3).units)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "3\n", done.stderr


@pytest.mark.subprocess
@pytest.mark.parametrize("runner", ["DirectRunner", "DataflowRunner"])
def test_beam_is_imported_without_what_the_program_does_not_use(runner: str) -> None:
    """Silently; a library can be imported later, and Dataflow's client is there for its runner."""
    unused = ["IPython", "pandas", "pymongo"]
    code = (
        f"import sys; from pipeline import console; console.import_beam(['--runner={runner}']); "
        f"assert not sys.modules.keys() & {unused}; import pymongo, apache_beam.runners.dataflow.dataflow_runner as d; "
        "print(d.dataflow_api is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == (f"{runner == 'DataflowRunner'}\n", "")


def test_the_program_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    """--help lists each option under its heading."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--max_seq_length" in capsys.readouterr().out


def test_search_finds_the_nearest_sentence(
    run: Program, minilm: TextEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    """By meaning, not by words; and only with the model that made the rows."""
    run.lines({"id": "p", "text": "My dog likes long walks.\n\nThe invoice is overdue."}, model="minilm")
    assert search.main([f"--embeddings={run.out}/*.parquet", "pets", "--limit=1"]) == 0
    assert "My dog likes long walks.  [p]" in capsys.readouterr().out


def test_search_refuses_another_model(run: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """Vectors of two models say nothing of each other."""
    run.lines({"id": "p", "text": "Hi."})
    assert search.main([f"--embeddings={run.out}/*.parquet", f"--model={run.model}", "x"]) == 0
    assert search.main([f"--embeddings={run.out}/*.parquet", "--model=bert_base_cased", "x"]) == 2
    assert "python -m pipeline.search: expected" in capsys.readouterr().err


@pytest.fixture
def damaged(tmp_path: pathlib.Path, tiny_bert: pathlib.Path) -> pathlib.Path:
    """A pair whose weights were cut short."""
    copied = shutil.copytree(tiny_bert, tmp_path / "damaged")
    weights = copied / "encoder" / "variables" / "variables.data-00000-of-00001"
    weights.write_bytes(weights.read_bytes()[:500])
    return copied


def test_a_damaged_model_is_refused_with_one_line(
    tmp_path: pathlib.Path, damaged: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By each program that loads one, before any work; the library raises the same line."""
    write_messages(tmp_path, {"id": "a", "text": "Hi."})
    row = {"id": "a", "message_id": "m", "model": "m", "model_version": "v", "content": "Hi.", "embedding": [1.0]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")
    options = [f"--model={damaged}", "--max_seq_length=40"]
    runs: list[tuple[Callable[[list[str]], int], list[str]]] = [
        (main, [*arguments(tmp_path, damaged), *options]),
        (search.main, [f"--embeddings={tmp_path}/rows.parquet", "x", *options]),
        (export_encoder.main, [f"--to={tmp_path / 'pair'}", *options[:1]]),
    ]
    for start, given in runs:
        assert start(given) == 2
        printed = capfd.readouterr()
        assert "variables.data-00000-of-00001 is missing, damaged or not readable" in printed.err
        assert printed.err.count("\n") == 1
    with pytest.raises(ValueError, match="variables.data-00000-of-00001 is missing, damaged or not readable"):
        embed("Hi.", str(damaged), max_seq_length=40)


def test_the_local_stream_looks_for_its_model_first(
    tmp_path: pathlib.Path, tiny_bert: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before an emulator is started."""
    copied = shutil.copytree(tiny_bert, tmp_path / "model")
    (copied / "model.json").write_text("{")
    assert local.main([f"--model={copied}"]) == 2
    printed = capsys.readouterr().err
    assert f"expected {copied}/model.json as export_encoder writes it" in printed
    assert printed.count("\n") == 1


def test_messages_of_another_kind_are_refused_by_the_local_stream(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the file."""
    for content in (b"no JSON", b"[1]", b'{"body": "x"}', b"\xff"):
        (tmp_path / "in.jsonl").write_bytes(content)
        assert local.main([f"--messages={tmp_path}/in.jsonl"]) == 2
        printed = capsys.readouterr().err
        assert f"expected --messages to be JSONL records with a field text, got {tmp_path}/in.jsonl" in printed
        assert printed.count("\n") == 1


@pytest.mark.subprocess
def test_closed_standard_input_is_refused(tmp_path: pathlib.Path, text_encoder: pathlib.Path) -> None:
    """One line, as a shell's <&- leaves it."""
    given = arguments(tmp_path, text_encoder, input="-", input_format="text")
    command = " ".join(map(shlex.quote, [sys.executable, "-m", "pipeline", *given]))
    done = subprocess.run(["bash", "-c", f"{command} <&-"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "expected text on standard input for --input=-, it is closed" in done.stderr


@pytest.mark.slow
def test_search_takes_the_options_that_made_the_rows(
    run: Program, minilm: TextEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without them the vectors are of another version; one line says what to pass."""
    options = {"pooling": "cls", "max_seq_length": 40, "cleanup": "shrink"}
    run.lines({"id": "p", "text": "My dog likes\tlong walks."}, model="minilm", **options)
    query = [f"--embeddings={run.out}/*.parquet", "My\tdog likes long walks."]
    assert search.main(query) == 2
    assert "pass its directory with --model, and the --pooling, --normalize, --max" in capsys.readouterr().err
    assert search.main([*query, *as_arguments(options)]) == 0
    assert capsys.readouterr().out.startswith("1.000  My dog likes long walks.")


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "avro"])
def test_the_ends_of_the_range_of_times_reach_the_files(run: Program, output_format: str) -> None:
    """Exactly, in each format."""
    times = ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"]
    messages = ({"id": time, "text": "Hi.", "at": time} for time in times)
    run.lines(*messages, timestamp_field="at", output_format=output_format)
    rows = read_files(run.out, output_format)
    made: Callable[[str], Any] = str if output_format == "jsonl" else datetime.datetime.fromisoformat
    assert {row["message_id"]: row["event_time"] for row in rows} == {time: made(time) for time in times}
