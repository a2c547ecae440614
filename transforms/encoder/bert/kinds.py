"""The kinds of checkpoints that `graph.Bert` computes: where each differs from BERT, as a table.

Sources: the modules of Hugging Face's transformers, whose config.json names the kind as `model_type`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Kind(NamedTuple):
    """How checkpoints of a kind differ from BERT's.

    Attributes:
        prefix: what begins the names of its tensors if the checkpoint has a task head.
        names: parts of its tensors' names, and what BERT calls them.
        heads: the key of config.json for the number of heads.
        activation: the key of config.json for the activation.
        padding: the padding id by default, if the first token has the position behind that id; None if it has 0.
        pads: the key of config.json for the padding id; "" if it is always the default.
        buckets: the tensor with a bias of attention for each bucket of distances; "" if there is none.
        layers: the key of config.json for the number of layers.
        epsilon: the key of config.json for what layer norms add to the variance; "" if there is none.
        tokenizer: transformers' class for its tokenizer if tokenizer_config.json names none; "" for one that takes
            nothing from there.
        has_berts_tokens: whether a vocab.txt, or a tokenizer.json that says the same, is for BertPreprocessor.
    """

    prefix: str
    names: Mapping[str, str] = {}
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"
    padding: int | None = None
    pads: str = ""
    buckets: str = ""
    layers: str = "num_hidden_layers"
    epsilon: str = "layer_norm_eps"
    tokenizer: str = ""
    has_berts_tokens: bool = False


_ROBERTA = Kind("roberta.", padding=1, pads="pad_token_id")
KINDS = {
    "bert": Kind("bert.", tokenizer="BertTokenizer", has_berts_tokens=True),
    "camembert": _ROBERTA,
    "distilbert": Kind(
        "distilbert.",
        {
            "transformer.layer.": "encoder.layer.",
            ".attention.q_lin.": ".attention.self.query.",
            ".attention.k_lin.": ".attention.self.key.",
            ".attention.v_lin.": ".attention.self.value.",
            ".attention.out_lin.": ".attention.output.dense.",
            ".sa_layer_norm.": ".attention.output.LayerNorm.",
            ".ffn.lin1.": ".intermediate.dense.",
            ".ffn.lin2.": ".output.dense.",
            ".output_layer_norm.": ".output.LayerNorm.",
        },
        heads="n_heads",
        activation="activation",
        layers="n_layers",
        epsilon="",
        tokenizer="DistilBertTokenizer",
    ),
    "mpnet": Kind(
        "mpnet.",
        {
            ".attention.attn.q.": ".attention.self.query.",
            ".attention.attn.k.": ".attention.self.key.",
            ".attention.attn.v.": ".attention.self.value.",
            ".attention.attn.o.": ".attention.output.dense.",
            ".attention.LayerNorm.": ".attention.output.LayerNorm.",
        },
        padding=1,
        buckets="encoder.relative_attention_bias.weight",
        tokenizer="MPNetTokenizer",
    ),
    "roberta": _ROBERTA._replace(tokenizer="RobertaTokenizer"),
    "xlm-roberta": _ROBERTA,
}
_POSITIONS, _TYPES = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"


def as_bert(kind: Kind, tensors: Mapping[str, Array], config: Mapping[str, Any]) -> dict[str, Array]:
    """The tensors of a checkpoint of `kind` in the form that `graph.Bert` takes; `config` is its config.json.

    Raises:
        KeyError: if a tensor is missing.
    """
    found = {_renamed(kind, name): array for name, array in tensors.items()}
    if kind.padding is not None:
        found[_POSITIONS] = found[_POSITIONS][config.get(kind.pads, kind.padding) + 1 :]
    positions, hidden = found[_POSITIONS].shape
    # Whoever follows TF-Hub's interface may give the type 1, also to a kind that has one type or none.
    types = found.get(_TYPES, np.zeros((1, hidden), np.float32))
    found[_TYPES] = np.resize(types, (max(2, len(types)), hidden))
    if kind.buckets:
        found["distances"] = found.pop(kind.buckets)[_buckets(np.arange(1 - positions, positions))]
    return found


def settings_of(kind: Kind, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `graph.BertConfig` takes from the config.json of a checkpoint of `kind`.

    Raises:
        KeyError: if it lacks the number of heads.
    """
    return {
        "heads": config[kind.heads],
        "activation": config.get(kind.activation, "gelu"),
        "epsilon": config.get(kind.epsilon, 1e-12),
    }


def _renamed(kind: Kind, name: str) -> str:
    name = name.removeprefix(kind.prefix)
    for part, of_bert in kind.names.items():
        name = name.replace(part, of_bert)
    # Checkpoints converted from TensorFlow name the weights of a layer norm gamma and beta.
    return name.replace(".gamma", ".weight").replace(".beta", ".bias")


def _buckets(distances: Array, sides: int = 16, furthest: int = 128) -> Array:
    """MPNet's bucket for each distance from a query to a key: exact when near, by its logarithm when far."""
    steps, exact = np.abs(distances), sides // 2
    scale = np.float32(np.log(furthest / exact))
    far = np.log(np.maximum(steps, 1).astype(np.float32) / np.float32(exact)) / scale * np.float32(sides - exact)
    buckets: Array = np.where(steps < exact, steps, np.minimum(exact + far.astype(np.int64), sides - 1))
    buckets += sides * (distances > 0)
    return buckets
