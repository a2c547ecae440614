"""`python -m templates.bake_model MODEL`: put a model where the image's workers find it without a network.

A model that a package carries is made under $EMBEDDING_MODELS, a directory is copied there under its own name, and
TF-Hub's are downloaded to $TFHUB_CACHE_DIR.
"""

import pathlib
import shutil
import sys
from collections.abc import Sequence

from pipeline import export_encoder
from transforms.models import CATALOGUE, find_model, models_directory


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; 2 if it was refused."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1:
        print("expected a model's name, handle or directory, got none", file=sys.stderr)
        return 2
    try:
        return bake(arguments[0])
    # A download fails with OSError.
    except (ValueError, OSError) as error:
        print(f"python -m templates.bake_model: {error}", file=sys.stderr)
        return 2


def bake(model: str) -> int:
    """Put `model` in its place; 0 if it is there.

    Raises:
        ValueError: if there is no such model, or it cannot be downloaded.
    """
    models_directory().mkdir(parents=True, exist_ok=True)
    entry = CATALOGUE.get(model)
    if entry and entry.package:
        return export_encoder.main([f"--model={model}"])
    found = find_model(model)
    if pathlib.Path(model).is_dir():
        shutil.copytree(model, models_directory() / pathlib.Path(model).resolve().name)
        return 0
    # TensorFlow is heavy, and needed for downloads only.
    from transforms.saved_model import resolve

    for handle in filter(None, (found.encoder, found.preprocessor)):
        print(resolve(handle))
    return 0


if __name__ == "__main__":
    sys.exit(main())
