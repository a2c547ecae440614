"""The rules of docs/architecture.md that no other test holds: who may import whom."""

import ast
import graphlib
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

PACKAGES = ("transforms", "pipeline", "templates")
# What runs a model or reads its weights.
ENGINES = {"numpy", "tensorflow", "tensorflow_hub", "tensorflow_text", "openvino", "safetensors", "tokenizers"}


def modules() -> dict[str, set[str]]:
    """Each module of the product with all that it imports, wherever in it."""
    paths = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: set(imports((ROOT / path).read_text(), set(names))) for name, path in names.items()}


def imports(source: str, names: set[str]) -> Iterator[str]:
    """The modules that `source` imports; a name that is a module of the product counts as that module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "expected absolute imports"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in names else node.module


MODULES = modules()


def imported_by(prefix: str) -> set[str]:
    """What the modules under `prefix` import from outside of it."""
    inside = [found for name, found in MODULES.items() if f"{name}.".startswith(f"{prefix}.")]
    assert inside
    return {name for name in set().union(*inside) if not f"{name}.".startswith(f"{prefix}.")}


@pytest.mark.parametrize("package", ["transforms.encoder", "transforms.splitter"])
def test_the_plain_classes_stand_alone(package: str) -> None:
    """They import the standard library and the engines of models, and nothing else: no Beam, no other layer."""
    others = {name.split(".")[0] for name in imported_by(package)} - set(sys.stdlib_module_names)
    assert others <= (ENGINES if package == "transforms.encoder" else set())


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("transforms", ("pipeline", "templates", "tests")),
        ("pipeline", ("templates", "tests")),
        ("templates", ("tests",)),
        ("transforms.runners", ("transforms.io", "transforms.integrations")),
        ("transforms.io", ("transforms.integrations",)),
    ],
)
def test_no_arrow_points_up(lower: str, upper: tuple[str, ...]) -> None:
    """A layer knows nothing of those above it."""
    assert [name for name in imported_by(lower) if name.startswith(upper)] == []


STAGES = [
    f"transforms.{name}"
    for name in ("parsing", "splitting", "embedding", "adapters", "reembedding", "known", "dataframe")
]


def test_reading_and_writing_know_no_stage_and_no_stage_knows_them() -> None:
    """The graph alone puts them together."""
    assert imported_by("transforms.io") & set(STAGES) == set()
    for stage in STAGES:
        assert [name for name in MODULES[stage] if name.startswith("transforms.io")] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside of functions count too."""
    inside = {name: found & set(MODULES) - {name} for name, found in MODULES.items()}
    order = list(graphlib.TopologicalSorter(inside).static_order())
    assert set(order) == set(MODULES)
