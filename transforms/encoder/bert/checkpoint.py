"""Reads what the files of a checkpoint in Hugging Face layout say of how it was trained to be used.

They are those of sentence-transformers (modules.json, config_sentence_transformers.json, sentence_bert_config.json)
and, for the sizes that its vectors may be cut to, config.json or README.md.
"""

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from transforms.encoder.catalogue import SIMILARITIES, Model

# The order in which modules may follow each other.
_MODULES = ("Transformer", "Pooling", "Normalize")
# The names that sentence-transformers has given to the file of its Transformer module; the first that is there counts.
_TRANSFORMER_FILES = tuple(
    f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
# The fields that change vectors, by file or module, with the only value that is computed here; None stands for none.
_TRANSFORMER: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "query_expansion": None,
    "query_length": None,
    "document_length": None,
    "processing_kwargs": {},
    "model_args": {},
    "model_kwargs": {},
    "tokenizer_args": {},
    "processor_kwargs": {},
    "config_args": {},
    "config_kwargs": {},
}
_FIELDS: dict[str, dict[str, Any]] = {
    "config.json": {
        "auto_map": None,
        "is_decoder": False,
        "position_embedding_type": "absolute",
        "quantization_config": None,
        "relative_attention_num_buckets": 32,
    },
    "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "truncate_dim": None},
    "tokenizer_config.json": {"padding_side": "right", "truncation_side": "right"},
    "Pooling": {"include_prompt": True},
    "Normalize": {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"},
    **dict.fromkeys(_TRANSFORMER_FILES, _TRANSFORMER),
}
_POOLINGS = {"mean": "mean", "cls": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
# The names under which sentence-transformers looks for the prompt of documents, in this order.
_DOCUMENTS = ("document", "passage", "corpus")
# A model card shows the parameters of the loss as JSON.
_SIZES_IN_README = re.compile(r"[\"']matryoshka_dims[\"']:\s*(\[[\d\s,]*\])")


@contextlib.contextmanager
def using(path: pathlib.Path) -> Iterator[None]:
    """Turns what is raised about a file of a checkpoint into a ValueError of one line that names the file.

    Everything is turned, because safetensors and TensorFlow raise exceptions of their own.
    """
    try:
        yield
    except Exception as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error).strip()
        reason = (missing.splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"expected {path} of a checkpoint, could not use it: {reason}; download the checkpoint again"
        ) from error


def read_json(source: pathlib.Path, name: str, kind: type = dict) -> Any:
    """The JSON in the file `name` of the checkpoint.

    Raises:
        ValueError: if it is missing, or holds anything else than a `kind`.
    """
    path = source / name
    if not path.exists():
        raise ValueError(f"expected a checkpoint in Hugging Face layout, {path} is missing; pass its directory")
    with using(path):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, kind):
            raise ValueError(f"it holds {type(found).__name__}")
        return found


def usage_of(source: pathlib.Path) -> Model:
    """A Model with the fields that the files in `source` tell.

    They are pooling ("" if they do not say it), normalize, max_seq_length (0 likewise), prompts, document_prompt,
    query_prompt, similarity and dimensions.

    Raises:
        ValueError: if a file cannot be used, or asks for what is not supported.
    """
    if (source / "adapter_config.json").exists():
        raise ValueError(
            f"expected whole weights in {source}, got an adapter's; merge it into its model, and save that"
        )
    for name in ("config.json", "tokenizer_config.json"):
        read_checked(source, name)
    pooling, normalize = _modules(source)
    name = "config_sentence_transformers.json"
    config = read_checked(source, name)
    with using(source / name):
        prompts = {key: text or "" for key, text in (config.get("prompts") or {}).items()}
        default = prompts[config["default_prompt_name"]] if config.get("default_prompt_name") else ""
        similarity = config.get("similarity_fn_name") or ""
        if similarity not in ("", *SIMILARITIES):
            raise ValueError(f"it names the similarity {similarity!r}, not one of {', '.join(SIMILARITIES)}")
        if wrong := [text for text in prompts.values() if not isinstance(text, str)]:
            raise ValueError(f"its prompts have {wrong[0]!r}")
    document_prompt, query_prompt = _chosen(prompts, default)
    return Model(
        "",
        pooling=pooling,
        normalize=normalize,
        max_seq_length=_max_seq_length(source),
        prompts=prompts,
        document_prompt=document_prompt,
        query_prompt=query_prompt,
        similarity=similarity,
        dimensions=_sizes(source),
    )


def read_checked(source: pathlib.Path, name: str, kind: str = "") -> dict[str, Any]:
    """The JSON in the file `name` of the checkpoint, of which `_FIELDS` knows the `kind` or the name; {} without it.

    Raises:
        ValueError: if one of its fields changes vectors in a way that is not computed here.
    """
    found: dict[str, Any] = read_json(source, name) if (source / name).exists() else {}
    for field, value in _FIELDS[kind or name].items():
        if found.get(field) not in (None, value):
            expected = f"no {field}" if value is None else f"{field} {json.dumps(value)}"
            raise ValueError(
                f"expected {expected} in {source / name}, got {json.dumps(found[field])}; vectors that are made in "
                "another way are not supported"
            )
    return found


def transformer_of(source: pathlib.Path) -> tuple[str, dict[str, Any]]:
    """What sentence-transformers' file of the Transformer module says, with the name of the file; {} without any.

    Raises:
        ValueError: as read_checked.
    """
    files = ((name, read_checked(source, name)) for name in _TRANSFORMER_FILES)
    return next((found for found in files if found[1]), (_TRANSFORMER_FILES[0], {}))


def _chosen(prompts: Mapping[str, str], default: str) -> tuple[str, str]:
    """The prompts of documents and of queries; both are the default one if the checkpoint tells the two not apart.

    An empty prompt tells nothing: sentence-transformers saves a "document" that is empty beside any "passage".
    """
    document = next((prompts[name] for name in _DOCUMENTS if prompts.get(name)), "")
    query = prompts.get("query", "")
    return (document, query) if document or query else (default, default)


def _max_seq_length(source: pathlib.Path) -> int:
    """The maximum number of tokens that it reads, as sentence-transformers finds it; 0 if no file says it."""
    name, config = transformer_of(source)
    found = config.get("max_seq_length")
    if found is None:
        name = "tokenizer_config.json"
        found = read_checked(source, name).get("model_max_length")
    with using(source / name):
        # A tokenizer without a limit has a length of 1e30.
        return int(found or 0)


def _sizes(source: pathlib.Path) -> tuple[int, ...]:
    """The lengths of vectors that config.json or the model card names, the largest first."""
    with using(source / "config.json"):
        sizes = read_json(source, "config.json").get("matryoshka_dimensions") or []
        if wrong := [size for size in sizes if type(size) is not int or size < 1]:
            raise ValueError(f"its matryoshka_dimensions have {wrong[0]!r}")
    readme = source / "README.md"
    if not sizes and readme.exists():
        with using(readme):
            shown = _SIZES_IN_README.search(readme.read_text(encoding="utf-8"))
            sizes = json.loads(shown[1]) if shown else []
    return tuple(sorted(set(sizes), reverse=True))


def _modules(source: pathlib.Path) -> tuple[str, bool]:
    """The pooling and whether to normalize, from the modules of sentence-transformers; ("", False) without any."""
    if not (source / "modules.json").exists():
        return "", False
    with using(source / "modules.json"):
        modules = [(_module(found["type"]), found["path"]) for found in read_json(source, "modules.json", list)]
    kinds = tuple(kind for kind, _ in modules)
    if kinds not in (_MODULES[:2], _MODULES):
        raise ValueError(
            f"expected the modules Transformer, Pooling and, if any, Normalize, in this order, in "
            f"{source / 'modules.json'}, got {', '.join(kinds) or 'none'}; vectors of other modules are not supported"
        )
    paths = [f"{path}/config.json" for _, path in modules]
    if paths[0] != "/config.json":
        raise ValueError(
            f"expected the path of Transformer empty in {source / 'modules.json'}, got {modules[0][1]!r}; load the "
            "checkpoint with sentence-transformers and save it"
        )
    for path in paths[2:]:
        read_checked(source, path, "Normalize")
    return _pooling(source, paths[1]), kinds == _MODULES


def _module(name: str) -> str:
    """The class of a module, without where sentence-transformers has it; a class of others keeps its whole name."""
    return name.rsplit(".", 1)[-1] if name.startswith("sentence_transformers.") else name


def _pooling(source: pathlib.Path, name: str) -> str:
    config = read_checked(source, name, "Pooling")
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    # sentence-transformers 6 writes one mode, or a list of several.
    modes = config.get("pooling_mode", chosen)
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise ValueError(f"expected the pooling mean or cls in {source / name}, got {' and '.join(modes) or 'none'}")
    return _POOLINGS[modes[0]]
