"""`python -m pipeline.models`: the catalogue of models, as a table."""

import difflib
import sys
from collections.abc import Sequence

from pipeline import stopping
from pipeline.arguments import Parser
from transforms.encoder.catalogue import CATALOGUE, DEFAULT_MODEL, models_directory

_ROW = "{:34} {:>9}  {:14} {:9} {:5} {:>10}  {:10}  {}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the catalogue, or some models of it. Returns 0, or 2 if there is no such model."""
    parser = Parser("pipeline.models", "List the models by name.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="Models to list; by default all.")
    arguments = parser.parse_args(argv)
    known = CATALOGUE | {model.alias: model for model in CATALOGUE.values() if model.alias}
    for name in arguments.names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else "without names, all are listed"
            print(f"python -m pipeline.models: expected a model's name, got {name!r}; {hint}", file=sys.stderr)
            return 2
    models = [known[name] for name in arguments.names] or list(CATALOGUE.values())
    print(_ROW.format("name", "dimension", "pooling", "normalize", "cased", "max length", "license", "from"))
    for model in models:
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
    stopping.leave("python -m pipeline.models", main)
