"""`python -m tests.transforms.encoder.bert.reference PYTHON`: what sentence-transformers makes of small checkpoints.

PYTHON is that of an environment with sentence-transformers and torch, which are not among the requirements. What is
printed belongs into tests/data/sentence_transformers.json. The weights come from a seed, so the tests make the
checkpoints again.
"""

import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
from typing import Any

from tokenizers import BertWordPieceTokenizer

from tests.conftest import DATA, VOCABULARY, write_checkpoint

TEXTS = ["good dog .", "bad cat", "", "Dogs, dogs, dogs!", "dog " * 60, "unknown words 日本"]
PROMPTS = {"query": "good dog: ", "passage": "bad cat . ", "clustering": "Dogs! "}
NUMBERS = {token: number for number, token in enumerate(VOCABULARY)}
# What each checkpoint says beside its weights: its modules, and the content of its files.
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "prompts": {"config_sentence_transformers.json": {"prompts": PROMPTS, "similarity_fn_name": "dot"}},
    "default": {
        "config_sentence_transformers.json": {
            "prompts": {"query": "", "document": "", "clustering": PROMPTS["clustering"]},
            "default_prompt_name": "clustering",
        }
    },
    "length": {
        "config_sentence_transformers.json": {"prompts": PROMPTS},
        "sentence_bert_config.json": {"max_seq_length": 12},
    },
    "tokenizer": {"tokenizer_config.json": {"model_max_length": 12, "tokenizer_class": "BertTokenizer"}},
    "lower_case": {
        "sentence_bert_config.json": {"do_lower_case": True},
        "tokenizer_config.json": {"do_lower_case": False, "tokenizer_class": "BertTokenizer"},
        "tokenizer.json": json.loads(BertWordPieceTokenizer(vocab=NUMBERS, lowercase=False).to_str()),
    },
    "cls": {
        "config_sentence_transformers.json": {"prompts": PROMPTS},
        "1_Pooling/config.json": {"embedding_dimension": 16, "pooling_mode": "cls", "include_prompt": True},
    },
    "no_norm": {
        "modules": ("Transformer", "Pooling"),
        "config_sentence_transformers.json": {"prompts": PROMPTS, "similarity_fn_name": "dot"},
    },
    "sizes": {
        "matryoshka_dimensions": [16, 8, 4],
        "config_sentence_transformers.json": {"prompts": PROMPTS, "similarity_fn_name": "dot"},
    },
}
# A text on which the tokenizers below differ, and what each changes in the files of a checkpoint of tests/data/kinds.
TEXT = "a Ab É ab 日本 doorbell"
_CASED, _LOWER = {"tokenizer.json": {"normalizer": {"lowercase": False}}}, {"do_lower_case": True}
_SENTENCES, _SETTINGS = "sentence_bert_config.json", "tokenizer_config.json"
TOKENIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "cased": ("bert", _CASED),
    "cased, lower": ("bert", _CASED | {_SENTENCES: _LOWER}),
    "uncased, lower": ("bert", {_SENTENCES: _LOWER}),
    "byte pairs, lower": ("roberta", {_SENTENCES: _LOWER}),
    "unigrams, lower": ("xlm-roberta", {_SENTENCES: _LOWER}),
    "class, cased": ("bert", {_SETTINGS: {"tokenizer_class": "BertTokenizer", "do_lower_case": False}}),
    "class, default": ("bert", _CASED | {_SETTINGS: {"tokenizer_class": "BertTokenizer"}}),
    "class, accents": ("bert", {_SETTINGS: {"tokenizer_class": "BertTokenizerFast", "strip_accents": False}}),
    "class, words": ("bert", {_SETTINGS: {"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": False}}),
    "class of no kind": ("bert", {_SETTINGS: {"do_lower_case": False, "strip_accents": False}}),
    "no class": ("bert", {_SETTINGS: {"tokenizer_class": None, "do_lower_case": False}}),
    "mpnet's": ("mpnet", {_SETTINGS: {"tokenizer_class": "MPNetTokenizer", "strip_accents": False}}),
    "distilbert's": ("distilbert", {_SETTINGS: {"tokenizer_class": None, "do_lower_case": False}}),
    "roberta's": ("roberta", {_SETTINGS: {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}}),
    "short words": ("bert", {"tokenizer.json": {"model": {"max_input_chars_per_word": 5}}}),
    "an added token": (
        "bert",
        {
            "tokenizer.json": {
                "added_tokens": [
                    {"id": 301, "content": "el", "special": False, "normalized": False}
                    | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
                ]
            }
        },
    ),
}
_POOLING = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
_PATHS = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}

# What runs in the other environment; arguments are the folder of the checkpoints, TEXTS and TEXT.
_RUN = """
import json, pathlib, sys
from sentence_transformers import SentenceTransformer
found = {}
for path in sorted(pathlib.Path(sys.argv[1], "tokenizers").iterdir()):
    found[path.name] = SentenceTransformer(str(path), device="cpu").tokenizer(sys.argv[3]).input_ids
for path in sorted(pathlib.Path(sys.argv[1], "vectors").iterdir()):
    for size in (None, 8, 4) if path.name == "sizes" else (None,):
        model = SentenceTransformer(str(path), device="cpu", truncate_dim=size)
        for prompt in ("", *(name for name in model.prompts if model.prompts[name])):
            how = {"prompt_name": prompt} if prompt else {"prompt": ""}
            vectors = model.encode(json.loads(sys.argv[2]), **how)
            key = " ".join([path.name, prompt or "none", *([str(size)] if size else [])])
            found[key] = [[round(float(number), 7) for number in vector] for vector in vectors]
print(json.dumps(found))
"""


def write(path: pathlib.Path, name: str) -> None:
    """Writes the checkpoint of that name."""
    files = {"1_Pooling/config.json": _POOLING} | CHECKPOINTS[name]
    modules = files.pop("modules", tuple(_PATHS))
    sizes = {key: files.pop(key) for key in ("matryoshka_dimensions",) if key in files}
    write_checkpoint(path, vocab_size=14, intermediate_size=32, num_hidden_layers=2, **sizes)
    files["modules.json"] = [
        {"idx": idx, "name": str(idx), "path": _PATHS[kind], "type": f"sentence_transformers.models.{kind}"}
        for idx, kind in enumerate(modules)
    ]
    for folder in filter(None, _PATHS.values()):
        (path / folder).mkdir()
    for file, content in files.items():
        (path / file).write_text(json.dumps(content))


def write_tokenizer(path: pathlib.Path, name: str) -> pathlib.Path:
    """The checkpoint with the tokenizer of that name, written to a folder in `path`."""
    kind, files = TOKENIZERS[name]
    with tarfile.open(DATA / "kinds" / f"{kind}.tar.gz") as archive:
        archive.extractall(path, filter="data")
    written = (path / kind).rename(path / name)
    for file, fields in files.items():
        found = json.loads((written / file).read_text())
        for field, value in fields.items():
            if isinstance(value, dict):
                found[field] |= value
            elif isinstance(value, list):
                found[field] += value
            else:
                found[field] = value
        (written / file).write_text(json.dumps(found))
    return written


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        vectors, tokenizers = pathlib.Path(folder, "vectors"), pathlib.Path(folder, "tokenizers")
        tokenizers.mkdir()
        for each in CHECKPOINTS:
            (vectors / each).mkdir(parents=True)
            write(vectors / each, each)
        for each in TOKENIZERS:
            write_tokenizer(tokenizers, each)
        command = [sys.argv[1], "-c", _RUN, folder, json.dumps(TEXTS), TEXT]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    said = ",\n".join(f"{json.dumps(key)}: {json.dumps(rows)}" for key, rows in json.loads(done.stdout).items())
    print(f"{{\n{said}\n}}")
