"""`python -m pipeline.report`: a run as one HTML page that needs no network."""

import base64
import importlib.util
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import console, stopping
from pipeline.arguments import Parser
from pipeline.current import add_current_options, left_out
from pipeline.report.analysis import clusters, histogram, near_duplicates, project, reduced
from pipeline.report.data import Field, RunRows, fields, read_dead_letters, read_rows, read_summary
from transforms.encoder.recipe import scaled

_PAGE = pathlib.Path(__file__).with_name("assets")
_MOST_GROUPS = 60
_MOST_LISTED = 30


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 2 if it was refused."""
    arguments = _parser().parse_args(argv)
    console.prepare()
    try:
        _need({"sklearn": "scikit-learn", "openTSNE": "openTSNE"})
        if not 0 < arguments.duplicates <= 1:
            raise ValueError(f"expected --duplicates above 0 and up to 1, got {arguments.duplicates}")
        rows = read_rows(
            arguments.embeddings, arguments.limit, arguments.model_version, arguments.journal, arguments.all_versions
        )
        data = page_data(
            rows,
            title=arguments.title,
            projection=arguments.projection,
            cluster_count=arguments.clusters,
            threshold=arguments.duplicates,
        )
        data["deadLetters"] = [cause._asdict() for cause in read_dead_letters(arguments.dead_letters)]
        data["deadLettersGiven"] = bool(arguments.dead_letters)
        data["run"] = read_summary(arguments.summary)
        target = pathlib.Path(arguments.to)
        target.write_text(page(data), encoding="utf-8")
    except (ImportError, OSError, ValueError) as error:
        print(f"python -m pipeline.report: {error}", file=sys.stderr)
        return 2
    print(f"{target}  {target.stat().st_size / 1e6:.1f} MB, {len(rows.table):,} of {rows.total:,} sentences")
    if rows.left_out:
        print(left_out(rows.left_out))
    return 0


def _parser() -> Parser:
    parser = Parser("pipeline.report", "Show a run as one HTML page that needs no network.")
    parser.add_argument("--embeddings", required=True, metavar="GLOB", help="Parquet files that the pipeline wrote.")
    parser.add_argument("--to", required=True, metavar="FILE", help="The page to write.")
    parser.add_argument("--dead_letters", default="", metavar="GLOB", help="Parquet files of the run's dead letters.")
    parser.add_argument("--summary", default="", metavar="FILE", help="What the run printed at its end.")
    parser.add_argument("--title", default="Sentence embeddings", help="The page's heading.")
    parser.add_argument("--limit", type=int, default=50_000, help="Most sentences to show; above it, a sample. [50000]")
    parser.add_argument("--projection", choices=("tsne", "pca"), default="tsne", help="How the map is made. [tsne]")
    parser.add_argument("--clusters", type=int, default=0, help="Number of clusters; 0 to choose it by size. [0]")
    parser.add_argument("--duplicates", type=float, default=0.95, help="Least cosine of near-duplicates. [0.95]")
    parser.add_argument("--model_version", default="", help="Model version whose rows to show, if there are several.")
    add_current_options(parser)
    return parser


def _need(packages: dict[str, str]) -> None:
    missing = [name for module, name in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"the report needs {', '.join(missing)}; pip install {' '.join(missing)}, or this package with [report]"
        )


def page_data(
    rows: RunRows, title: str, projection: str = "tsne", cluster_count: int = 0, threshold: float = 0.95
) -> dict[str, Any]:
    """The data that the page's script shows, in JSON's types. Arrays are base64 of little-endian numbers."""
    contents: list[str] = rows.table["content"].to_pylist()
    unit = scaled(rows.vectors)
    components = reduced(unit)
    places = project(components, projection)
    codes, found = clusters(unit, components, contents, cluster_count)
    groups = near_duplicates(unit, contents, threshold)
    colours = [Field("cluster", [cluster.label for cluster in found], codes.astype(float), "category")]
    colours += fields(rows.table)
    messages, message = np.unique(np.array(rows.table["message_id"].to_pylist(), str), return_inverse=True)
    numbers = {field.name: field.codes for field in colours if field.kind == "number"}
    return {
        "title": title,
        "total": rows.total,
        "messages": rows.messages,
        "truncated": rows.truncated,
        "model": rows.model,
        "dimension": int(rows.vectors.shape[1]),
        "projection": "t-SNE" if projection == "tsne" else "PCA",
        "content": contents,
        "messageIds": messages.tolist(),
        "message": _packed(message, "<u4"),
        "x": _packed(places[:, 0], "<f4"),
        "y": _packed(places[:, 1], "<f4"),
        "fields": [
            {"name": field.name, "kind": field.kind, "values": field.values, "codes": _packed(field.codes, "<f4")}
            for field in colours
        ],
        "clusters": [cluster._asdict() for cluster in found],
        "duplicates": [
            {"rows": group.rows[:_MOST_LISTED], "size": len(group.rows), "least": round(group.least, 3)}
            for group in groups[:_MOST_GROUPS]
        ],
        "duplicateGroups": len(groups),
        "duplicateThreshold": threshold,
        "histograms": {name: histogram(values)._asdict() for name, values in numbers.items()},
        "truncatedRows": np.flatnonzero(rows.table["truncated"].to_numpy(zero_copy_only=False))[:_MOST_LISTED].tolist(),
    }


def page(data: dict[str, Any]) -> str:
    """The page, with scripts, styles and data in it."""
    # A "<" could end the script element that holds the data.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {name: (_PAGE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")}
    parts["scatterplot.js"] = (_PAGE / "vendor" / "regl-scatterplot.min.js").read_text(encoding="utf-8")
    parts["data.json"] = text
    whole = (_PAGE / "report.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        whole = whole.replace(f"{{{{{name}}}}}", part, 1)
    return whole


def _packed(values: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


if __name__ == "__main__":
    stopping.leave("python -m pipeline.report", main)
