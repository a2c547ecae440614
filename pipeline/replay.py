"""`python -m pipeline.replay`: play dead letters again, from the stage that rejected them and with the same ids."""

import argparse
import contextlib
import functools
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import checks, console, graph, stopping
from pipeline.arguments import Parser, add_options, check_values
from pipeline.command_line import in_command_line
from pipeline.inputs import Inputs, written_before
from pipeline.letters import ENTRIES, FORMATS, Choice, Chosen, choose, read_letters
from pipeline.options import OPTIONS
from pipeline.outputs import make_outputs, waiting_files
from pipeline.running import run_locally
from pipeline.settings import Settings, settings_of
from pipeline.sinks import write
from transforms import embedding, parsing, reembedding, splitting
from transforms.io.bigquery import write as bigquery
from transforms.io.files import read as files
from transforms.io.files.write import FILE_FORMATS
from transforms.io.pubsub import write as pubsub
from transforms.io.pubsub.resources import PUBLISH, check_topic
from transforms.io.retries import deliver
from transforms.runners.local import local_runner
from transforms.times import parse_time
from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding

_PUBLISH_SECONDS = 300.0
_SHOWN_IDS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 0 if it played, 1 if it made no row or left letters out, 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        letters = list(read_letters(arguments.letters_format, arguments.letters))
        choice = _choice(arguments)
        if arguments.to_topic:
            check_topic(arguments.to_topic, [PUBLISH])
            chosen = _chosen(letters, choice, _without_all_but(parsing.STAGE))
            code = _publish(chosen.elements[parsing.STAGE], arguments.to_topic)
        else:
            check_values(arguments, OPTIONS)
            settings = settings_of(arguments)
            checks.check_stages(settings)
            chosen = _chosen(letters, choice, _without(settings))
            read = [arguments.letters] if arguments.letters_format in FILE_FORMATS else []
            code = _run(chosen.elements, settings, read)
    except ValueError as error:
        print(f"python -m pipeline.replay: {in_command_line(str(error))}", file=sys.stderr)
        return 2
    return code or (1 if chosen.left_out else 0)


def _parser() -> Parser:
    parser = Parser(
        "pipeline.replay",
        "Play dead letters again: publish them unchanged, or run them from the stage that rejected them.",
        epilog="Without --to_topic, the options of `python -m pipeline` say how to run them and where to write.",
    )
    parser.add_argument("--letters", required=True, metavar="GLOB|project:dataset.table", help="The dead letters.")
    parser.add_argument("--letters_format", required=True, choices=sorted(FORMATS), help="Format of --letters.")
    parser.add_argument("--to_topic", default="", metavar="projects/P/topics/T", help="Publish them here, unchanged.")
    parser.add_argument(
        "--stages", default="", metavar="STAGE,...", help=f"Only letters of these stages: {', '.join(ENTRIES)}."
    )
    parser.add_argument("--since", default="", metavar="TIME", help="Only letters from this time on, in RFC 3339.")
    parser.add_argument("--until", default="", metavar="TIME", help="Only letters before this time, in RFC 3339.")
    parser.add_argument(
        "--reason", default="", metavar="REGEX", help="Only letters whose error_message it is found in."
    )
    add_options(parser, OPTIONS)
    return parser


def _choice(arguments: argparse.Namespace) -> Choice:
    stages = tuple(filter(None, map(str.strip, arguments.stages.split(","))))
    if unknown := [stage for stage in stages if stage not in ENTRIES]:
        raise ValueError(f"expected --stages of {', '.join(ENTRIES)}, got {unknown[0]!r}")
    try:
        reason = re.compile(arguments.reason)
    except re.error as error:
        raise ValueError(f"expected --reason to be a regular expression, got {arguments.reason!r}: {error}") from error
    return Choice(stages, _time("since", arguments.since), _time("until", arguments.until), reason)


def _time(option: str, given: str) -> int | None:
    try:
        return parse_time(given, option) if given else None
    except ValueError as error:
        raise ValueError(f"expected --{option}=TIME in RFC 3339, got {given!r}") from error


def _without_all_but(stage: str) -> dict[str, str]:
    reason = "expected a message to publish, got what another stage refused; play it again without --to_topic"
    return {other: reason for other in ENTRIES if other != stage}


def _without(settings: Settings) -> dict[str, str]:
    """The stages that the input format does not have, each with a reason."""
    needed = {} if settings.parser else {parsing.STAGE: "messages", splitting.STAGE: "messages"}
    if settings.input_format not in (*files.FILE_FORMATS, "rows"):
        needed[files.STAGE] = "files"
    return {
        stage: f"expected --input_format of {kind}, got {settings.input_format}; play it again with theirs"
        for stage, kind in needed.items()
    }


def _chosen(letters: Sequence[DeadLetter], choice: Choice, without: Mapping[str, str]) -> Chosen:
    """What to play; the rest is told on standard error.

    Raises:
        ValueError: if there is nothing to play.
    """
    chosen = choose(letters, choice, without)
    for (stage, reason), ids in chosen.left_out.items():
        shown = ", ".join(ids[:_SHOWN_IDS]) + (", ..." if len(ids) > _SHOWN_IDS else "")
        print(f"left out {len(ids):,} of {stage}: {reason} ({shown})", file=sys.stderr)
    total = len({letter.id for letter in letters})
    if chosen.passed_over:
        print(f"not asked for: {chosen.passed_over:,} of {total:,} dead letters", file=sys.stderr)
    if not chosen.elements:
        raise ValueError(f"expected dead letters that can be played, got none of {total:,}")
    return chosen


def _publish(records: Sequence[Record], topic: str) -> int:
    messages = [pubsub.Outgoing(record.data, record.attributes) for record in records]
    send = functools.partial(pubsub.publish, topic)
    try:
        refused = list(deliver(send, messages, _PUBLISH_SECONDS, f"Pub/Sub topic {topic}"))
    except TimeoutError as error:
        print(f"python -m pipeline.replay: {error}", file=sys.stderr)
        return 1
    print(f"published {len(messages) - len(refused):,} messages to {topic}")
    for refusal in refused:
        print(f"refused: {refusal.reason}", file=sys.stderr)
    return 1 if refused else 0


def _run(elements: Mapping[str, list[Any]], settings: Settings, letters: Sequence[str]) -> int:
    """Run the pipeline, each element from its stage; `letters` are the patterns of files that were read for them."""
    if settings.reuse:
        raise ValueError("expected no --reuse with letters, whose sentences have no vectors yet; leave it out")
    again = list(dict.fromkeys(elements.get(files.STAGE, ())))
    with contextlib.ExitStack() as stack:
        written = written_before(stack, settings) if settings.already_written else ()
        checks.check_outputs(settings, Inputs([*letters, *again], written=written), "letters")
        make_outputs(settings)
        inputs = Inputs(again, written=written)
        waiting = stack.enter_context(waiting_files(settings.places)) if settings.output_format in FILE_FORMATS else {}
        checks.check_earlier(settings, inputs)
        console.import_tensorflow()
        beam_options = PipelineOptions([])
        pipeline = beam.Pipeline(runner=local_runner(beam_options), options=beam_options)
        _build(pipeline, elements, settings, inputs, waiting)
        return run_locally("python -m pipeline.replay", pipeline, settings, waiting)


def _build(
    pipeline: beam.Pipeline,
    elements: Mapping[str, list[Any]],
    settings: Settings,
    inputs: Inputs,
    waiting: Mapping[str, str],
) -> None:
    def entering(*stages: str) -> Any:
        made = [element for stage in stages for element in elements.get(stage, ())]
        kind = ENTRIES[stages[0]].element
        return pipeline | f"Letters of {stages[0].lower()}" >> beam.Create(made).with_output_types(kind)

    def joined(name: str, kind: type, *pcolls: Any) -> Any:
        return pcolls | f"Enter {name}" >> beam.Flatten().with_output_types(kind)

    refused = {}
    records = []
    if inputs.patterns:
        read = graph.read_files(pipeline, settings, inputs)
        refused["read"] = read.dead_letters
        records.append(read.output)
    sentences = [entering(embedding.STAGE)]
    rows_to_parse = [entering(reembedding.STAGE)]
    if settings.parser is None:
        rows_to_parse += records
    else:
        messages = graph.parse(joined("parse", Record, *records, entering(parsing.STAGE)), settings.parser, settings)
        split = graph.split(joined("split", Message, messages.output, entering(splitting.STAGE)), settings)
        # A letter's sentence is of a version that may be in the journal, but has no row itself.
        sentences.append(graph.without_written(pipeline, split.output, settings, inputs))
        refused |= {"parse": messages.dead_letters, "split": split.dead_letters}
    parsed = graph.parse_rows(joined("parse rows", Record, *rows_to_parse), settings)
    rows = graph.embed(joined("embed", Sentence, parsed.output, *sentences), settings)
    refused |= {"rows": parsed.dead_letters, "embed": rows.dead_letters}
    written = joined("write", SentenceEmbedding, rows.output, entering(bigquery.STAGE, pubsub.STAGE))
    entries = entering(bigquery.JOURNAL_STAGE)
    write(written, refused, settings, is_stream=False, waiting=waiting, entries=[entries])


if __name__ == "__main__":
    stopping.leave("python -m pipeline.replay", main)
