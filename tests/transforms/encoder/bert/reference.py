"""`python -m tests.transforms.encoder.bert.reference PYTHON`: what sentence-transformers makes of small checkpoints.

PYTHON is that of an environment with sentence-transformers and torch, which are not among the requirements. What is
printed belongs into tests/data/sentence_transformers.json. The weights come from a seed, so the tests make the
checkpoints again.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from tests.conftest import write_checkpoint

TEXTS = ["good dog .", "bad cat", "", "Dogs, dogs, dogs!", "dog " * 60, "unknown words 日本"]
PROMPTS = {"query": "good dog: ", "passage": "bad cat . ", "clustering": "Dogs! "}
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
_POOLING = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
_PATHS = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}

# What runs in the other environment; arguments are the folder of the checkpoints and the texts.
_RUN = """
import json, pathlib, sys
from sentence_transformers import SentenceTransformer
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        for each in CHECKPOINTS:
            (pathlib.Path(made) / each).mkdir()
            write(pathlib.Path(made) / each, each)
        done = subprocess.run([sys.argv[1], "-c", _RUN, made, json.dumps(TEXTS)], stdout=subprocess.PIPE, check=True)
    vectors = ",\n".join(f"{json.dumps(key)}: {json.dumps(rows)}" for key, rows in json.loads(done.stdout).items())
    print(f"{{\n{vectors}\n}}")
