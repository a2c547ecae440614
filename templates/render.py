"""`python -m templates.render`: the Flex Templates' metadata and container specs, made from the program's options.

Without arguments, it writes the files that are checked in: metadata and specs under templates/, and of the tables the
schemas for Terraform and the statements in SQL. With --image and --to, it writes the specs of one image, to be
uploaded; their default model is the one that is baked into the image.
"""

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.arguments import Option
from pipeline.checks import MESSAGE_FORMATS
from pipeline.options import OPTIONS, SOURCES
from templates.bake_model import baked_model
from templates.launcher import FIXED
from transforms.encoder.catalogue import DEFAULT_MODEL
from transforms.io.bigquery.tables import TABLE_REGEX
from transforms.io.bigquery.write import METHODS
from transforms.io.files.read import FILE_FORMATS
from transforms.kinds import DEAD_LETTERS, JOURNAL, ROWS, Kind
from transforms.reembedding import ROW_FORMATS
from transforms.schema import Column, bigquery_schema, sql_string

DIRECTORY = pathlib.Path(__file__).parent
# Stands for an image's name in the specs that are checked in.
PLACEHOLDER_IMAGE = "REGION-docker.pkg.dev/PROJECT/REPOSITORY/sentence-embeddings:TAG"

_MODEL = "[A-Za-z0-9_.-]+|(https|gs)://.+|/.+"
_TABLE = {"param_type": "BIGQUERY_TABLE", "metavar": "project:dataset.table", "regex": TABLE_REGEX}
# What Dataflow and the templates' fixed options restrict in an option.
_NARROWED: Mapping[str, Mapping[str, Any]] = {
    "input": {
        "help": "What to read: a gs:// path, glob or directory; or a table of rows to embed again.",
        "metavar": "gs://bucket/messages/*.jsonl",
        "regex": f"gs://[^/]+/.*|{TABLE_REGEX}",
    },
    "udf": {"metavar": "gs://bucket/udf.py", "regex": "gs://[^/]+/.+"},
    "model": {"metavar": "", "regex": _MODEL},
    "preprocessor": {"metavar": "", "regex": _MODEL},
    "custom_bounds": {"metavar": ""},
    "output": {
        "help": "Table to write rows to; it is made if it does not exist.",
        "label": "Output table",
        **_TABLE,
    },
    "already_written": {
        "help": "Table of rows written earlier. By the journal beside it, a version of a message that the same model "
        "was carried through is counted and left out; with journal=none, by the rows, a sentence that has one of its "
        "id and model.",
        **_TABLE,
    },
    "reuse": {
        "help": "Table of rows written earlier, whose vectors are used again: a sentence that the same model has "
        "embedded there, in whatever message, is not encoded.",
        **_TABLE,
    },
    "dead_letters": {
        "help": "Table to write dead letters to; by default, the output's name and _error_records.",
        "label": "Dead-letter table",
        **_TABLE,
    },
    "journal": {
        "help": "Table to write the journal to, one line per message and version that was carried to its end; by "
        "default, the output's name and _journal. Without it (none), versions of a message are not told apart.",
        "label": "Journal table",
        "metavar": "project:dataset.table",
        "regex": f"none|{TABLE_REGEX}",
    },
}
# Beam's options that are parameters of the templates; all others belong to the job's environment.
BEAM_OPTIONS = (
    Option("sdk_container_image", "Image of the workers; by default, the one that launches the job.", "Workers",
           label="Workers' image", regex=r"[a-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9._/@:-]+"),
    Option("number_of_worker_harness_threads", "Threads per worker process; by default, Dataflow chooses.",
           "Workers", label="Threads per worker process", param_type="NUMBER", regex="[1-9][0-9]*"),
    Option("disk_size_gb", "Size of each worker's disk in GB; by default, Dataflow chooses. An image with CUDA's "
           "libraries needs 100.", "Workers", label="Disk size (GB)", param_type="NUMBER", regex="[1-9][0-9]*"),
    Option("disk_type", "Type of each worker's disk; by default, Dataflow chooses. C3 takes no pd-standard.", "Workers",
           label="Disk type", metavar="compute.googleapis.com/projects//zones//diskTypes/pd-ssd",
           regex="compute\\.googleapis\\.com/projects/[^/]*/zones/[^/]*/diskTypes/[a-z-]+"),
)  # fmt: skip


class Template(NamedTuple):
    """One Flex Template.

    Attributes:
        name: the beginning of its files' names.
        title: its name in the console.
        description: what it does.
        source: the one option of SOURCES that it takes.
        reads: the kind of its input, as in `Option.reads`.
        choices: the values of options that have fewer here than in the program.
    """

    name: str
    title: str
    description: str
    source: str
    reads: str
    choices: Mapping[str, tuple[str, ...]]


TEMPLATES = (
    Template(
        "streaming",
        "Sentence embeddings: Pub/Sub to BigQuery",
        "Reads texts from a Pub/Sub subscription and writes one row per sentence to BigQuery, with the vector of a "
        "TF-Hub text encoder. Messages that cannot be used go to a table of dead letters, whole. In either streaming "
        "mode rows are written at least once, under ids that are the same each time; the views show each row once.",
        "input_subscription",
        "stream",
        {
            "input_format": MESSAGE_FORMATS,
            "bigquery_write_method": METHODS,
        },
    ),
    Template(
        "batch",
        "Sentence embeddings: files to BigQuery",
        "Reads texts from files on Cloud Storage, or rows to embed again, and writes one row per sentence to BigQuery, "
        "with the vector of a TF-Hub text encoder. Input that cannot be used goes to a table of dead letters, whole.",
        "input",
        "files",
        {"input_format": (*FILE_FORMATS, *ROW_FORMATS)},
    ),
)


def options_of(template: Template) -> list[Option]:
    """The options that a user of `template` may set, as the template has them."""
    fixed = {argument.split("=")[0].removeprefix("--") for argument in FIXED}
    # A launcher does not wait for the job, whose dead letters it would count, and Dataflow reads Pub/Sub by itself.
    left_out = fixed | {"max_dead_letters", "source"} | {source for source in SOURCES if source != template.source}
    return [
        _narrowed(option, template)
        for option in (*OPTIONS, *BEAM_OPTIONS)
        if option.name not in left_out and option.parent != "source" and option.reads in ("", template.reads)
    ]


def _narrowed(option: Option, template: Template) -> Option:
    choices = template.choices.get(option.name, option.choices)
    required = option.required or option.name == template.source
    return option._replace(choices=choices, required=required, **_NARROWED.get(option.name, {}))


def parameter(option: Option, choices_of_parent: Sequence[str] = ()) -> dict[str, Any]:
    """The parameter for `option`, in the metadata's form."""
    default = "false" if option.default is False else str(option.default)
    found: dict[str, Any] = {
        "name": option.name,
        "label": option.label or option.name.replace("_", " ").capitalize(),
        "helpText": option.help + (f" For example: {option.metavar}" if option.metavar else ""),
        "paramType": _param_type(option),
        "isOptional": not option.required,
    }
    if default:
        found["defaultValue"] = default
    if regex := _regex(option):
        found["regexes"] = [f"^({regex})$"]
    if found["paramType"] == "ENUM":
        found["enumOptions"] = [{"value": choice, "label": choice} for choice in option.choices]
    if option.parent:
        found["parentName"] = option.parent
        triggers = [value for value in option.triggers if not choices_of_parent or value in choices_of_parent]
        if triggers:
            found["parentTriggerValues"] = triggers
    else:
        found["groupName"] = option.group
    return found


def _is_boolean(option: Option) -> bool:
    return option.default is False or (option.choices == ("true", "false") and option.default != "")


def _param_type(option: Option) -> str:
    if option.param_type:
        return option.param_type
    if _is_boolean(option):
        return "BOOLEAN"
    if option.choices:
        return "ENUM"
    return "NUMBER" if isinstance(option.default, int) else "TEXT"


def _regex(option: Option) -> str:
    if option.regex:
        return option.regex
    if _is_boolean(option):
        return "true|false"
    if option.choices:
        return "|".join(option.choices)
    if isinstance(option.default, int):
        return "[0-9]+" if option.minimum == 0 else f"[{option.minimum}-9]|[1-9][0-9]+"
    return ""


def metadata(template: Template) -> dict[str, Any]:
    """What the console and `gcloud dataflow flex-template build` read about `template`."""
    options = options_of(template)
    choices = {option.name: option.choices for option in options}
    found: dict[str, Any] = {"name": template.title, "description": template.description}
    if template.reads == "stream":
        # Of the streaming modes that it runs in; in both, rows are written at least once.
        found |= {
            "streaming": True,
            "supportsAtLeastOnce": True,
            "supportsExactlyOnce": True,
            "defaultStreamingMode": "AT_LEAST_ONCE",
        }
    found["parameters"] = [parameter(option, choices.get(option.parent, ())) for option in options]
    return found


def spec(template: Template, image: str, model: str) -> dict[str, Any]:
    """The container spec of `template`: the file that a launch names. gcloud's own lacks `streaming` and others."""
    described = metadata(template)
    for found in described["parameters"]:
        if found["name"] == "model":
            found["defaultValue"] = model
    return {"image": image, "sdkInfo": {"language": "PYTHON"}, "metadata": described}


def specs(image: str, model: str) -> dict[str, str]:
    """The container specs of `image`, whose model is `model`, by their files' names."""
    return {f"{template.name}_spec.json": _json(spec(template, image, model)) for template in TEMPLATES}


def _ddl(table: str, kind: Kind) -> str:
    """The SQL statement that creates `table`, "project.dataset.table", if it does not exist."""
    lines = ",\n".join(f"  {_ddl_column(column)}" for column in kind.columns)
    return (
        f"CREATE TABLE IF NOT EXISTS `{table}` (\n{lines}\n)\n"
        f"PARTITION BY TIMESTAMP_TRUNC({kind.layout.partition}, DAY)\n"
        f"CLUSTER BY {', '.join(kind.layout.cluster)};\n"
    )


# Those of our names that BigQuery reserves.
_RESERVED = ("end", "rows")


def _ddl_column(column: Column) -> str:
    kind = column.type
    if column.fields:
        kind = f"STRUCT<{', '.join(_ddl_column(field) for field in column.fields)}>"
    if column.mode == "REPEATED":
        kind = f"ARRAY<{kind}>"
    name = f"`{column.name}`" if column.name in _RESERVED else column.name
    required = " NOT NULL" if column.mode == "REQUIRED" else ""
    return f"{name} {kind}{required} OPTIONS (description = {sql_string(column.description)})"


# The tables that are made ahead, each with its kind and what it is.
_TABLES = {
    "embeddings": (ROWS, "rows: one for each sentence and model, and now and then a double"),
    "embeddings_error_records": (DEAD_LETTERS, "dead letters: inputs that a stage could not use, whole"),
    "embeddings_journal": (JOURNAL, "the journal: one for each message, version and model that was carried to its end"),
}
_SQL = """\
-- The table of {what}.
-- Put in your own names: sed 's/PROJECT/my-project/g; s/DATASET/my_dataset/g' {file}.sql | bq query --nouse_legacy_sql
"""


def files() -> dict[str, str]:
    """All files that are checked in, by name."""
    found = {f"{template.name}_metadata.json": _json(metadata(template)) for template in TEMPLATES}
    found |= specs(PLACEHOLDER_IMAGE, DEFAULT_MODEL)
    for table, (kind, what) in _TABLES.items():
        name = table.removeprefix("embeddings_")
        found[f"terraform/{name}_schema.json"] = _json(bigquery_schema(kind.columns)["fields"])
        found[f"sql/{name}.sql"] = _SQL.format(what=what, file=name) + _ddl(f"PROJECT.DATASET.{table}", kind)
    return found


def _json(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m templates.render", description=__doc__)
    parser.add_argument("--image", help="Image that the specs name.")
    parser.add_argument("--to", type=pathlib.Path, metavar="DIR", help="Where to write the specs of --image.")
    parser.add_argument(
        "--model", help="Model that is baked into the image; by default, that of the image this runs in."
    )
    arguments = parser.parse_args(argv)
    if bool(arguments.image) != bool(arguments.to):
        parser.error("expected --image=IMAGE and --to=DIR, or neither of them")
    model = arguments.model or baked_model() or DEFAULT_MODEL
    if not re.fullmatch(_MODEL, model):
        parser.error(f"expected --model=NAME|HANDLE|/models/NAME, got {model!r}")
    folder = arguments.to or DIRECTORY
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (specs(arguments.image, model) if arguments.image else files()).items():
        (folder / name).write_text(content, encoding="utf-8")
        print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
