"""Checks of a run before it starts. Each reports in one line what is wrong, and none changes anything."""

import os
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline import console
from pipeline.inputs import Inputs
from pipeline.names import dead_letters_beside, journal_beside, written_under
from pipeline.places import files_of, is_pipe, looking_at, paths, shard, shards
from pipeline.settings import Settings
from transforms.encoder.catalogue import find_model
from transforms.encoder.hot_swap import check_watchable
from transforms.encoder.options import check_model
from transforms.encoder.text_encoder import name_and_version
from transforms.io.bigquery.tables import READ, check_readable, check_right
from transforms.io.disk import is_local
from transforms.io.files.encodings import known_encoding
from transforms.io.files.match import would_read
from transforms.io.files.read import FILE_FORMATS
from transforms.io.pubsub.resources import CONSUME, PUBLISH, check_subscription, check_topic
from transforms.known import KEY_COLUMNS, VECTOR_COLUMNS, VERSION_COLUMNS
from transforms.reembedding import ROW_FORMATS, SENTENCE_COLUMNS
from transforms.schema import Column
from transforms.udf import read_udf

MESSAGE_FORMATS = ("text", "json")
LOCAL_RUNNERS = ("", "DirectRunner", "FnApiRunner", "SwitchingDirectRunner")
_REFUSED_RUNNERS = {
    "DaskRunner": "it drops what a bundle emits at its end, and so loses rows",
    "BundleBasedDirectRunner": "it acknowledges messages before their rows are written, and so loses rows",
}


def runner_of(beam_options: PipelineOptions) -> str:
    """The name of the chosen runner, "" for the local one.

    Raises:
        ValueError: if it is one that is known to lose data.
    """
    name = (beam_options.view_as(StandardOptions).runner or "").rsplit(".", 1)[-1]
    if name in _REFUSED_RUNNERS:
        raise ValueError(f"expected a runner that keeps its data, got --runner={name}: {_REFUSED_RUNNERS[name]}")
    return name


def waits(settings: Settings, runner: str, here: bool) -> bool:
    """Whether to wait for the end of the pipeline. `here`: whether something in this process works for it.

    Raises:
        ValueError: if it would end with the program.
    """
    if settings.wait is False and here:
        raise ValueError(
            f"expected --wait=true with --runner={runner or 'DirectRunner'}, which works in this program, got false"
        )
    return runner != "DataflowRunner" if settings.wait is None else settings.wait


def is_native(settings: Settings, runner: str) -> bool:
    """Whether Beam's own read of Pub/Sub is to be used: if it is asked for, or on Dataflow."""
    return not settings.input and (settings.source or {"DataflowRunner": "native"}.get(runner)) == "native"


def check_inputs(settings: Settings, runner: str, here: bool) -> None:
    """Check that the runner can read the source, that a table or subscription exists, and an encoding is known.

    `here`: whether the workers are in this process, or at least on this machine.

    Raises:
        ValueError: if it cannot, or one does not.
    """
    formats = (*FILE_FORMATS, *ROW_FORMATS) if settings.input else MESSAGE_FORMATS
    if settings.input_format not in formats:
        kind = "files" if settings.input else "messages"
        raise ValueError(f"expected --input_format of {kind}, {', '.join(formats)}, got {settings.input_format!r}")
    known_encoding(settings.encoding)
    local, native = runner in LOCAL_RUNNERS, is_native(settings, runner)
    if settings.input_format == "bigquery":
        with looking_at("input", settings.input):
            check_readable(settings.input, SENTENCE_COLUMNS)
            if here:
                check_right(settings.input, READ)
    elif not here and is_pipe(settings.input):
        raise ValueError(
            f"expected --input=GLOB on a remote runner, got {settings.input}; standard input is read locally only"
        )
    if native and local:
        raise ValueError(
            "expected --source=splittable on a local runner, got native, which acknowledges messages before their "
            "rows are written; leave --source out"
        )
    if settings.input_topic and not native and not here:
        raise ValueError("expected --input_subscription with --source=splittable on a remote runner, got --input_topic")
    if settings.input_subscription:
        # Elsewhere it is the workers' account that reads.
        check_subscription(settings.input_subscription, [CONSUME] if here else [])
    if settings.input_topic and native:
        check_topic(settings.input_topic)


def check_outputs(settings: Settings, inputs: Inputs, read: str = "input", here: bool = True) -> None:
    """Check that rows and dead letters can be written where they go, and that a run does not replace its own input.

    `read` is the option that names the patterns of `inputs`. `here`: as in check_inputs.

    Raises:
        ValueError: if a topic does not exist, a prefix names no file, a write method waits for the end of a stream, a
            file to read is among those that the output replaces, the next run would read what this one writes, or rows
            without a journal would stand beside one.
    """
    if settings.output_format == "bigquery":
        if inputs.is_stream and settings.bigquery_write_method == "FILE_LOADS":
            raise ValueError(
                "expected another --bigquery_write_method for a stream than FILE_LOADS, whose load jobs wait for an "
                "end; leave it out"
            )
    elif settings.output_format == "pubsub":
        if not settings.dead_letters:
            raise ValueError("expected --dead_letters=projects/P/topics/T with --output_format=pubsub, got none")
        for topic in settings.places.values():
            check_topic(topic, [PUBLISH] if here else [])
    else:
        places = settings.places
        for option, prefix in places.items():
            check_prefix(option, prefix)
        taken: dict[str, str] = {}
        for option, prefix in places.items():
            other = taken.setdefault(shards(prefix, settings.output_format), option)
            if other != option:
                raise ValueError(f"expected --{option} apart from --{other}, got {prefix!r} for both")
        if not settings.journal:
            _check_no_journal(settings, inputs.is_stream)
        if not inputs.is_stream:
            rows = settings.already_written
            written = [*inputs.written, *([rows] if rows and not is_pipe(rows) else ())]
            for option, prefix in places.items():
                _check_replaced(option, prefix, settings, read, inputs.patterns)
                _check_replaced(option, prefix, settings, "already_written", written)
                if settings.input_format == "rows":
                    _check_replaced(option, prefix, settings, "input_journal", inputs.journal)
                _check_not_read(option, prefix, settings, read, inputs.patterns)


def check_prefix(option: str, prefix: str) -> None:
    """Check that the value of `option` names files, and not a directory.

    Raises:
        ValueError: if it does not.
    """
    name = os.path.basename(prefix)
    if name and not (is_local(prefix) and os.path.isdir(prefix)):
        return
    what = ", a directory" if name else ""
    inside = os.path.join(prefix, "rows")
    raise ValueError(f"expected --{option} to be a path prefix such as {inside}, got {prefix!r}{what}")


def _check_no_journal(settings: Settings, is_stream: bool) -> None:
    """Refuse to write rows without a journal to where one stays: only rows that it names are current."""
    journal = journal_beside(settings.output, settings.output_format)
    replaced = set() if is_stream else paths([shards(journal, settings.output_format)])
    if set(map(os.path.realpath, written_under(journal, settings.output_format))) - replaced:
        raise ValueError(
            f"expected --journal with an --output that has one, {journal}, by which readers take rows for current, got "
            "none; leave --journal=none out, or choose another --output"
        )


def _check_replaced(option: str, prefix: str, settings: Settings, read: str, patterns: Sequence[str]) -> None:
    replaced = paths([shards(prefix, settings.output_format)])
    if replaced and (both := replaced & files_of(patterns)):
        raise ValueError(
            f"expected --{read} apart from the files under --{option}, which are replaced, got {min(both)} in both; "
            f"choose another --{option}"
        )


def _check_not_read(option: str, prefix: str, settings: Settings, read: str, patterns: Sequence[str]) -> None:
    """Refuse to write files that the next run of the same input would read."""
    if any(would_read(pattern, shard(prefix, 0, 1, settings.output_format)) for pattern in patterns):
        beside = {"dead_letters": dead_letters_beside, "journal": journal_beside}.get(option)
        default = beside and beside(settings.output, settings.output_format)
        raise ValueError(
            f"expected --{option} apart from --{read}, whose next run would read what is written there, got {prefix!r}"
            f"{', the default' if prefix == default else ''}; give --{option} a place outside"
        )


def check_earlier(settings: Settings, inputs: Inputs) -> None:
    """Check that what earlier runs wrote can be read. Run it after the output's table is made, which may be theirs.

    Raises:
        ValueError: if it cannot, or does not exist.
    """
    written = VERSION_COLUMNS if settings.journal else KEY_COLUMNS
    read = {
        "already_written": (settings.already_written, inputs.written, written),
        "reuse": (settings.reuse, inputs.reused, VECTOR_COLUMNS),
    }
    for option, (place, tables, columns) in read.items():
        if not place:
            continue
        if inputs.is_stream:
            raise ValueError(f"expected --{option} with --input, which has an end, got a stream; leave it out")
        if settings.output_format == "pubsub":
            raise ValueError(f"expected --{option} with files or a table as output, got pubsub; leave it out")
        if settings.output_format == "bigquery":
            _check_tables(option, tables, columns)


def _check_tables(option: str, tables: Sequence[str], columns: Sequence[Column]) -> None:
    for table in tables:
        with looking_at(option, table):
            check_readable(table, columns)


def check_stages(settings: Settings) -> None:
    """Check that a function of the user's own can be loaded, and that the model exists and can do what is asked.

    The model is not loaded for that.

    Raises:
        ValueError: if one does not exist or cannot do it, or the model is here in another version than is asked for.
    """
    if settings.parser and settings.parser.udf:
        read_udf(settings.parser.udf, settings.parser.udf_function)
    encoder = settings.encoder
    model = find_model(encoder.model, encoder.preprocessor, encoder.allow_http)
    check_model(model, encoder)
    if encoder.model_version and not any("://" in handle for handle in (model.encoder, model.preprocessor)):
        console.import_tensorflow()
        name_and_version(encoder)
    if settings.embedding.model_poll_seconds:
        check_watchable(encoder.model)
