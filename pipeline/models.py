"""`python -m pipeline.models`: the catalogue of models, as a table."""

import sys

from transforms.encoder.catalogue import CATALOGUE, DEFAULT_MODEL, models_directory

_ROW = "{:34} {:>9}  {:14} {:9} {:5} {:>10}  {:10}  {}"


def main() -> int:
    """Print the catalogue."""
    print(_ROW.format("name", "dimension", "pooling", "normalize", "cased", "max length", "license", "from"))
    for model in CATALOGUE.values():
        here = (models_directory() / model.name / "encoder").is_dir()
        source = str(models_directory() / model.name) if here else model.encoder
        print(
            _ROW.format(
                model.name,
                model.dimension,
                model.pooling,
                "yes" if model.normalize else "no",
                "yes" if model.cased else "no",
                model.max_seq_length or "none",
                model.licence,
                source or f"python -m pipeline.export_encoder --model={model.name}",
            )
        )
    print(f"\nThe default is {DEFAULT_MODEL}. A directory of a model's name under {models_directory()} comes first.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
