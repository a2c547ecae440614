"""`python -m pipeline.replay`: play dead letters again, from the stage that rejected them and with the same ids."""

import argparse
import base64
import collections
import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import checks, console, graph, stopping
from pipeline.command_line import add_options, check_values, in_command_line
from pipeline.inputs import Inputs
from pipeline.outputs import make_outputs, waiting_files
from pipeline.running import run_locally
from pipeline.settings import Settings, settings_of
from transforms import embedding, parsing, splitting
from transforms.dead_letters import payload_of
from transforms.io.bigquery.tables import parse_table
from transforms.io.bigquery.write import STAGE as WRITE_STAGE
from transforms.io.files.match import match
from transforms.io.files.write import FILE_FORMATS
from transforms.io.google_clients import bigquery_client
from transforms.io.pubsub.resources import check_topic
from transforms.io.pubsub.write import Outgoing, publish
from transforms.io.retries import deliver
from transforms.parsing import ParserOptions
from transforms.runners.local import local_runner
from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding

_PUBLISH_SECONDS = 300.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 0 if it played, 1 if it made no row or left letters out, 2 if it was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.replay",
        description="Play dead letters again: publish them unchanged, or run them from the stage that rejected them.",
        epilog="Without --to_topic, the options of `python -m pipeline` say how to run them and where to write.",
        allow_abbrev=False,
    )
    parser.add_argument("--letters", required=True, metavar="GLOB|project:dataset.table", help="The dead letters.")
    parser.add_argument("--letters_format", required=True, choices=sorted(_READERS), help="Format of --letters.")
    parser.add_argument("--to_topic", default="", metavar="projects/P/topics/T", help="Publish them here, unchanged.")
    add_options(parser)
    arguments = parser.parse_args(argv)
    console.prepare()
    try:
        letters = list(_READERS[arguments.letters_format](arguments.letters))
        elements = elements_of(letters)
        if arguments.to_topic:
            check_topic(arguments.to_topic)
            return _publish(elements, arguments.to_topic)
        check_values(arguments)
        settings = settings_of(arguments)
        if settings.parser is None:
            raise ValueError(f"expected --input_format of messages, got {settings.input_format!r}")
        checks.check_model(settings)
        read = [arguments.letters] if arguments.letters_format in FILE_FORMATS else []
        checks.check_outputs(settings, Inputs(read), "letters")
        make_outputs(settings)
        with contextlib.ExitStack() as stack:
            files = settings.output_format in FILE_FORMATS
            waiting = stack.enter_context(waiting_files(settings.places)) if files else {}
            return _run(elements, settings, settings.parser, waiting)
    except ValueError as error:
        print(f"python -m pipeline.replay: {in_command_line(str(error))}", file=sys.stderr)
        return 2


def _element(kind: Callable[..., Any]) -> Callable[[bytes, Any], Any]:
    def make(payload: bytes, attributes: Any) -> Any:
        fields = json.loads(payload)
        if "embedding" in fields:
            fields["embedding"] = base64.b64decode(fields["embedding"])
        return kind(**fields)

    return make


# How to make the element that a stage rejected from its dead letter.
_ELEMENTS: dict[str, tuple[type, Callable[[bytes, Any], Any]]] = {
    parsing.STAGE: (Record, parsing.record_of),
    splitting.STAGE: (Message, _element(Message)),
    embedding.STAGE: (Sentence, _element(Sentence)),
    WRITE_STAGE: (SentenceEmbedding, _element(SentenceEmbedding)),
}


def elements_of(letters: Sequence[DeadLetter]) -> dict[str, list[Any]]:
    """The rejected elements by stage. The parts of a letter are joined, and each letter counts once.

    Raises:
        ValueError: if a part is missing, or letters are of a stage from which they cannot be played again.
    """
    parts: dict[str, dict[int, DeadLetter]] = collections.defaultdict(dict)
    for letter in letters:
        parts[letter.id][letter.part] = letter
    elements: dict[str, list[Any]] = collections.defaultdict(list)
    for identity, found in parts.items():
        first = next(iter(found.values()))
        if first.stage not in _ELEMENTS:
            raise ValueError(
                f"expected dead letters of {', '.join(_ELEMENTS)}, got {identity} of {first.stage!r}; "
                "fix what it names, and run the pipeline on it"
            )
        payload = payload_of(list(found.values()))
        elements[first.stage].append(_ELEMENTS[first.stage][1](payload, first.attributes))
    return elements


def _publish(elements: dict[str, list[Any]], topic: str) -> int:
    records = elements.pop(parsing.STAGE, [])
    messages = [Outgoing(record.data, record.attributes) for record in records]
    send = functools.partial(publish, topic)
    refused = list(deliver(send, messages, _PUBLISH_SECONDS, f"Pub/Sub topic {topic}"))
    print(f"published {len(messages) - len(refused):,} messages to {topic}")
    for refusal in refused:
        print(f"refused: {refusal.reason}", file=sys.stderr)
    if left := sum(map(len, elements.values())):
        print(
            f"left out {left:,} of later stages, which are not messages any more; play them again without --to_topic",
            file=sys.stderr,
        )
    return 1 if refused or left else 0


def _run(elements: dict[str, list[Any]], settings: Settings, parser: ParserOptions, waiting: Mapping[str, str]) -> int:
    console.import_tensorflow()
    beam_options = PipelineOptions([])
    pipeline = beam.Pipeline(runner=local_runner(beam_options), options=beam_options)

    def entering(stage: str) -> Any:
        create = beam.Create(elements.get(stage, ())).with_output_types(_ELEMENTS[stage][0])
        return pipeline | f"Letters of {stage.lower()}" >> create

    def joined(stage: str, before: Any) -> Any:
        return (before, entering(stage)) | f"Enter {stage.lower()}" >> beam.Flatten()

    messages = graph.parse(entering(parsing.STAGE), parser, settings)
    sentences = graph.split(joined(splitting.STAGE, messages.output), settings)
    rows = graph.embed(joined(embedding.STAGE, sentences.output), settings)
    refused = {"parse": messages.dead_letters, "split": sentences.dead_letters, "embed": rows.dead_letters}
    graph.write(joined(WRITE_STAGE, rows.output), refused, settings, is_stream=False, waiting=waiting)
    return run_locally("python -m pipeline.replay", pipeline, settings, waiting)


def _files(pattern: str) -> list[str]:
    paths = sorted(file.path for file in match(pattern).files)
    if not paths:
        raise ValueError(f"expected --letters to match files, {pattern!r} matches none; check the path")
    return paths


def _read_parquet(pattern: str) -> Iterator[DeadLetter]:
    import pyarrow.parquet as pq

    for path in _files(pattern):
        yield from map(_letter, pq.read_table(path).to_pylist())


def _read_avro(pattern: str) -> Iterator[DeadLetter]:
    import fastavro

    for path in _files(pattern):
        with open(path, "rb") as file:
            yield from map(_letter, fastavro.reader(file))


def _read_jsonl(pattern: str) -> Iterator[DeadLetter]:
    for path in _files(pattern):
        with open(path, encoding="utf-8") as file:
            yield from map(_letter, map(json.loads, file))


def _read_bigquery(table: str) -> Iterator[DeadLetter]:
    name = parse_table(table)
    rows = bigquery_client(name.project).list_rows(str(name))
    yield from (_letter(dict(row.items())) for row in rows)


_READERS: dict[str, Callable[[str], Iterator[DeadLetter]]] = {
    "parquet": _read_parquet,
    "avro": _read_avro,
    "jsonl": _read_jsonl,
    "bigquery": _read_bigquery,
}


def _letter(row: dict[str, Any]) -> DeadLetter:
    """A dead letter from its row, without its time, which replay does not need."""
    attributes = {pair["key"]: pair["value"] for pair in row["attributes"]}
    payload = row["payload_bytes"]
    if isinstance(payload, str):
        payload = base64.b64decode(payload)
    return DeadLetter(**(row | {"attributes": attributes, "payload_bytes": payload, "timestamp": 0}))


if __name__ == "__main__":
    stopping.leave("python -m pipeline.replay", main)
