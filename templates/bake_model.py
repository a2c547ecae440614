"""`python -m templates.bake_model MODEL`: put a model where the image's workers find it without a network.

- A model whose weights come in a Python package is made under $EMBEDDING_MODELS.
- A directory is copied there under its own name.
- A model of TF-Hub is downloaded to $TFHUB_CACHE_DIR.

A file in $EMBEDDING_MODELS then holds the value of `--model`, for the image's launcher and specs.
"""

import pathlib
import shutil
import sys
from collections.abc import Sequence

from pipeline import export_encoder
from transforms.encoder.catalogue import CATALOGUE, find_model, models_directory

_BAKED = "baked.txt"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns 2 if it was refused."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1:
        print("expected a model's name, handle or directory, got none", file=sys.stderr)
        return 2
    models_directory().mkdir(parents=True, exist_ok=True)
    try:
        model = bake(arguments[0])
    # A download fails with OSError.
    except (ValueError, OSError) as error:
        print(f"python -m templates.bake_model: {error}", file=sys.stderr)
        return 2
    (models_directory() / _BAKED).write_text(model, encoding="utf-8")
    return 0


def bake(model: str) -> str:
    """Put `model` in its place, and return the value of `--model` for it.

    Raises:
        ValueError: if there is no such model, or it cannot be made or downloaded.
    """
    entry = CATALOGUE.get(model)
    if entry and entry.package:
        if export_encoder.main([f"--model={model}"]):
            raise ValueError(f"expected {model} to be made, got the error above")
        return model
    found = find_model(model)
    if pathlib.Path(model).is_dir():
        return str(shutil.copytree(model, models_directory() / pathlib.Path(model).resolve().name))
    # This imports TensorFlow, which is slow; only downloads need it.
    from transforms.encoder.hub import resolve

    for handle in filter(None, (found.encoder, found.preprocessor)):
        print(resolve(handle))
    return model


def baked_model() -> str:
    """The value of `--model` for the model in this image; "" if none is baked in."""
    file = models_directory() / _BAKED
    return file.read_text(encoding="utf-8") if file.exists() else ""


def is_in_image(model: str) -> bool:
    """Whether a worker has `model` without downloading it, or is told where to download it from.

    Raises:
        ValueError: if there is no such model.
    """
    encoder = find_model(model).encoder
    return "://" in model or "://" not in encoder or encoder == find_model(baked_model()).encoder


if __name__ == "__main__":
    sys.exit(main())
