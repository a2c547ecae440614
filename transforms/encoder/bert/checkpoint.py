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
    pooling, normalize = _modules(source)
    name = "config_sentence_transformers.json"
    config = _if_there(source, name)
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


def _if_there(source: pathlib.Path, name: str) -> Any:
    return read_json(source, name) if (source / name).exists() else {}


def _chosen(prompts: Mapping[str, str], default: str) -> tuple[str, str]:
    """The prompts of documents and of queries; both are the default one if the checkpoint tells the two not apart.

    An empty prompt tells nothing: sentence-transformers saves a "document" that is empty beside any "passage".
    """
    document = next((prompts[name] for name in _DOCUMENTS if prompts.get(name)), "")
    query = prompts.get("query", "")
    return (document, query) if document or query else (default, default)


def _max_seq_length(source: pathlib.Path) -> int:
    """The maximum number of tokens that it reads, as sentence-transformers finds it; 0 if no file says it."""
    for name, field in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        found = _if_there(source, name).get(field)
        with using(source / name):
            if found is not None:
                # A tokenizer without a limit has a length of 1e30.
                return int(found)
    return 0


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
        modules = [
            (module["type"].rsplit(".", 1)[-1], module["path"]) for module in read_json(source, "modules.json", list)
        ]
    kinds = tuple(kind for kind, _ in modules)
    if kinds not in (_MODULES[:2], _MODULES):
        raise ValueError(
            f"expected the modules Transformer, Pooling and, if any, Normalize, in this order, in "
            f"{source / 'modules.json'}, got {', '.join(kinds) or 'none'}; vectors of other modules are not supported"
        )
    return _pooling(source, f"{modules[1][1]}/config.json"), kinds == _MODULES


def _pooling(source: pathlib.Path, name: str) -> str:
    config = read_json(source, name)
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    # sentence-transformers 6 writes one mode, or a list of several.
    modes = config.get("pooling_mode", chosen)
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise ValueError(f"expected the pooling mean or cls in {source / name}, got {' and '.join(modes) or 'none'}")
    if config.get("include_prompt") is False:
        raise ValueError(
            f"expected include_prompt true in {source / name}, got false; a pooling that leaves out the tokens of the "
            "prompt is not supported"
        )
    return _POOLINGS[modes[0]]
