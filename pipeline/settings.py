"""Settings: a run as typed values, made from the strings of the command line."""

import argparse
import dataclasses

from pipeline.arguments import made
from pipeline.names import dead_letters_beside, journal_beside
from transforms.columns import own_columns
from transforms.encoder.options import EmbeddingOptions, EncoderOptions
from transforms.parsing import ParserOptions
from transforms.reembedding import ROW_FORMATS
from transforms.schema import Column
from transforms.splitter import SplitterOptions
from transforms.splitting import SplittingOptions


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run reads, does and writes: a field holds what the option of its name says, and "" or None its default.

    Attributes:
        max_wait_seconds: how long a streamed message waits for others.
        parser: how records become messages; None if rows are read.
        splitter: how messages become sentences.
        splitting: the rest of SplitSentences' options.
        encoder: which encoder embeds them.
        embedding: the rest of EmbedSentences' options.
        dead_letters: where dead letters go, the default place included.
        journal: where the journal goes, the default place included; "" for none.
        retry_for_seconds: how long to wait out an outage of a sink.
    """

    input: str
    input_subscription: str
    input_topic: str
    input_format: str
    input_journal: str
    source: str
    max_wait_seconds: float
    readers: int
    csv_multiline: bool
    encoding: str
    parser: ParserOptions | None
    splitter: SplitterOptions
    splitting: SplittingOptions
    encoder: EncoderOptions
    embedding: EmbeddingOptions
    output: str
    output_format: str
    dead_letters: str
    journal: str
    max_dead_letters: str
    spill_dir: str
    already_written: str
    reuse: str
    store_content: bool
    bigquery_write_method: str
    retry_for_seconds: float
    wait: bool | None

    @property
    def own(self) -> tuple[Column, ...]:
        """The columns of the user's own in the rows."""
        return tuple(own.column for own in own_columns(self.splitting.columns))

    @property
    def places(self) -> dict[str, str]:
        """Where the run writes, by the option that says so."""
        places = {"output": self.output, "dead_letters": self.dead_letters}
        return places | {"journal": self.journal} if self.journal else places


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings that checked arguments of the command line stand for.

    Raises:
        ValueError: if options do not go together.
    """
    parser = None if arguments.input_format in ROW_FORMATS else made(ParserOptions, arguments)
    if arguments.csv_multiline and not (parser and parser.is_quoted):
        raise ValueError(
            "expected --csv_multiline with quoted fields, which alone can span lines; add --quoting=csv to "
            f"--input_format={arguments.input_format}, or leave --csv_multiline out"
        )
    if arguments.input_journal and parser is not None:
        raise ValueError(
            f"expected --input_journal with rows to read, --input_format={' or '.join(ROW_FORMATS)}, got "
            f"{arguments.input_format!r}; leave it out"
        )
    if arguments.udf and parser is None:
        raise ValueError(
            f"expected --udf with messages, got --input_format={arguments.input_format}, whose rows go through no "
            "function; leave it out"
        )
    return made(
        Settings,
        arguments,
        max_wait_seconds=arguments.max_wait_ms / 1000,
        parser=parser,
        # A bound may contain commas, so it is not split.
        splitter=made(SplitterOptions, arguments, custom_bounds=tuple(filter(None, [arguments.custom_bounds]))),
        splitting=made(SplittingOptions, arguments),
        encoder=made(EncoderOptions, arguments),
        embedding=made(EmbeddingOptions, arguments),
        dead_letters=arguments.dead_letters or dead_letters_beside(arguments.output, arguments.output_format),
        journal=_journal(arguments),
        retry_for_seconds=arguments.retry_seconds,
    )


def _journal(arguments: argparse.Namespace) -> str:
    if arguments.output_format == "pubsub":
        if arguments.journal not in ("", "none"):
            raise ValueError(
                "expected --journal with a sink that says when rows are written, files or a table, "
                f"got --journal={arguments.journal}; leave it out"
            )
        return ""
    if arguments.journal == "none":
        return ""
    return arguments.journal or journal_beside(arguments.output, arguments.output_format)
