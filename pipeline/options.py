"""The program's options: the fields of the options classes, and the options that only a program has."""

from pipeline.arguments import TRUE_OR_FALSE, VECTORS, Option, options_of
from transforms.decoding import FORMATS
from transforms.io.bigquery.write import METHODS, BigQueryOptions
from transforms.io.files.write import FILE_FORMATS
from transforms.io.pubsub.resources import SUBSCRIPTION_REGEX, TOPIC_REGEX
from transforms.parsing import ParserOptions
from transforms.reembedding import ROW_FORMATS
from transforms.separated import SEPARATED
from transforms.splitter import SplitterOptions
from transforms.splitting import SplittingOptions

_WITH_FIELDS = {"parent": "input_format", "triggers": ("json", "jsonl", "csv", "tsv", "parquet", "avro")}
OPTIONS = (
    Option("input", "What to read: a file, glob, directory, pipe or gs:// path; - for standard input; or a table of "
           "rows.", "Input", metavar="GLOB|-|project:dataset.table", reads="files", label="Input"),
    Option("input_subscription", "Pub/Sub subscription to read, as an endless stream.", "Input",
           metavar="projects/P/subscriptions/S",
           reads="stream", label="Pub/Sub subscription", param_type="PUBSUB_SUBSCRIPTION",
           regex=SUBSCRIPTION_REGEX),
    Option("input_topic", "Pub/Sub topic to read, through a subscription that is made for the run.", "Input",
           metavar="projects/P/topics/T",
           reads="stream", label="Pub/Sub topic", param_type="PUBSUB_TOPIC",
           regex=TOPIC_REGEX),
    *options_of(
        ParserOptions, "Input",
        input_format={
            "help": "Format of the files or messages; it is never guessed. Messages are 'text' or 'json'. 'document' "
            "reads each file as one message. 'rows' (Parquet) and 'bigquery' read rows of an earlier run, to embed "
            "their sentences with another model.",
            "default": "", "choices": (*FORMATS, *ROW_FORMATS), "required": True,
        },
        text_field=_WITH_FIELDS,
        id_field={**_WITH_FIELDS, "label": "Id field"},
        timestamp_field=_WITH_FIELDS,
        version_field=_WITH_FIELDS,
        delete_field={**_WITH_FIELDS, "metavar": "NAME[=VALUE]"},
        id_attribute={"reads": "stream", "label": "Id attribute"},
        timestamp_attribute={"reads": "stream"},
        version_attribute={"reads": "stream"},
        delete_attribute={"reads": "stream", "metavar": "NAME[=VALUE]"},
        quoting={"reads": "files", "parent": "input_format", "triggers": tuple(SEPARATED)},
        text_template={**_WITH_FIELDS, "metavar": "TEMPLATE"},
        udf={"metavar": "PATH|gs://BUCKET/PATH", "label": "File of a function of your own"},
        udf_function={"metavar": "NAME", "label": "Function of that file", "parent": "udf"},
        max_message_bytes={"label": "Largest message (bytes)"},
    ),
    Option("source", "How to read Pub/Sub: with Beam's native read (Dataflow only), or with our own splittable source, "
           "which any runner can run; by default, native on Dataflow and splittable elsewhere.", "Input",
           choices=("native", "splittable"),
           reads="stream", label="Way to read Pub/Sub"),
    Option("max_wait_ms", "How many milliseconds a streamed message waits for others to share its batch.", "Input",
           100, minimum=0, reads="stream", label="Longest wait for a batch (ms)",
           parent="source", triggers=("splittable",)),
    Option("readers", "How many readers a stream has, which the runner shares out among its workers; by default, as "
           "many as its parallelism (a Flink option), or one.", "Input", 0, minimum=0, reads="stream",
           label="Readers of the stream", parent="source", triggers=("splittable",)),
    Option("csv_multiline", "Let quoted CSV or TSV fields span lines; a file is then read as a whole.", "Input", False,
           reads="files", label="Quoted fields span lines", parent="input_format", triggers=tuple(SEPARATED)),
    Option("encoding", "Encoding of text files, by Python's name, such as latin-1; a file that begins with a mark of "
           "UTF-8, UTF-16 or UTF-32 is read by its mark.", "Input", "utf-8",
           reads="files", label="Encoding of text files", parent="input_format",
           triggers=("text", "document", "jsonl", "csv", "tsv")),
    Option("input_journal", "Journal of the rows to read, which tells which of them are current; by default, the one "
           "beside them, if there is one. Without it (none), the newest row of each id is read.", "Input",
           metavar="GLOB|project:dataset.table|none", reads="files", label="Journal of the input",
           parent="input_format", triggers=ROW_FORMATS),
    *options_of(
        SplitterOptions, "Sentences",
        language={"regex": "auto|[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*"},
        abbreviations={"help": "Further abbreviations, separated by commas, with or without their last period."},
        custom_bounds={"help": "Regular expression whose matches end sentences, in addition to the rules.",
                       "metavar": "REGEX"},
        use_custom_bounds_only={"parent": "custom_bounds"},
        custom_bounds_strategy={"parent": "custom_bounds"},
    ),
    *options_of(
        SplittingOptions, "Sentences",
        metadata_fields={
            "default": "*", "help": "Fields and attributes that rows keep as metadata, detected_language among them, "
            "separated by commas; * for all.",
        },
        columns={
            "help": "Columns of your own in the rows, separated by commas, each as NAME:TYPE=FIELD, filled from that "
            "field of the metadata, by its name or path, even if metadata_fields does not keep it; null if a message "
            "lacks it. A message with a value of another type becomes a dead letter.",
            "metavar": "NAME:TYPE=FIELD,...", "label": "Columns of your own",
        },
    ),
    *VECTORS,
    Option("output", "Where to write rows: a path prefix, a table, or a topic.", "Output", required=True,
           metavar="PREFIX|project:dataset.table|projects/P/topics/T"),
    Option("output_format", "Format of the output; 'pubsub' publishes JSON messages to a topic.", "Output",
           choices=(*FILE_FORMATS, "bigquery", "pubsub"), required=True),
    Option("dead_letters", "Where to write dead letters, in the same format; by default, under dead_letters/ beside "
           "the rows, or to a table with the output's name and _error_records. A topic has no default.", "Output",
           metavar="PREFIX|project:dataset.table|projects/P/topics/T"),
    Option("journal", "Where to write the journal, one line per message and version that was carried to its end, in "
           "the same format; by default, under journal/ beside the rows, or to a table with the output's name and "
           "_journal. Without it (none), versions of a message are not told apart.", "Output",
           metavar="PREFIX|project:dataset.table|none"),
    Option("spill_dir", "Folder for dead letters that their table or topic refuses, one JSON file each. Without it, "
           "such a letter fails its bundle, so that its message is not acknowledged.", "Output",
           metavar="DIRECTORY|gs://BUCKET/DIRECTORY", label="Folder for refused dead letters"),
    Option("already_written", "Rows written earlier, in the format of --output_format. By the journal beside them, a "
           "version of a message that the same model was carried through is counted and left out; with --journal=none, "
           "by the rows, a sentence that has one of its id and model.", "Output",
           metavar="GLOB|project:dataset.table", reads="files", label="Rows written already"),
    Option("reuse", "Rows written earlier, in the format of --output_format, whose vectors are used again: a sentence "
           "that the same model has embedded there, in whatever message, is not encoded. They may be those that the "
           "output replaces.", "Output",
           metavar="GLOB|project:dataset.table", reads="files", label="Rows whose vectors are used again"),
    Option("store_content", "Whether rows keep their sentence. If not, content is empty, but begin and end locate it.",
           "Output", "true", ("true", "false")),
    *options_of(
        BigQueryOptions, "Output",
        method={
            "name": "bigquery_write_method", "label": "BigQuery write method",
            "help": "How to write rows to BigQuery: with our own Arrow or JSON writer, or with Beam's load jobs (files "
            "only).",
            "choices": (*METHODS, "FILE_LOADS"),
        },
        retry_for_seconds={
            "name": "retry_seconds", "label": "Longest outage to wait out (s)",
            "help": "How many seconds to wait out an outage of BigQuery or Pub/Sub before the run fails.",
        },
    ),
    Option("max_dead_letters", "The most dead letters that a run may have: a number, or a share such as 0.01 of what "
           "it reads. With more, it fails, and the rows of an earlier run are kept.", "Run", metavar="COUNT|SHARE",
           regex=r"\d+|0?\.\d+"),
    Option("wait", "Whether to wait for the end of the pipeline and to sum it up; if not, its job's id is printed once "
           "it is submitted. By default, false on Dataflow and true elsewhere.", "Run", choices=TRUE_OR_FALSE),
)  # fmt: skip


# Exactly one of these says where messages come from.
SOURCES = ("input", "input_subscription", "input_topic")


def options_table() -> str:
    """The options as the Markdown table in docs/reference.md."""
    lines = ["| option | default | what it does |", "| --- | --- | --- |"]
    for option in OPTIONS:
        default = "required" if option.required else f"`{option.default}`" if option.default not in ("", False) else ""
        values = f" One of {', '.join(f'`{choice}`' for choice in option.choices)}." if option.choices else ""
        lines.append(f"| `--{option.name}` | {default} | {option.help}{values} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(options_table(), end="")
