"""Extracts the weights of a BERT-family SavedModel by the names of its variables.

The names that the TF-Hub exporter of tf-models writes and those of `graph.Bert` are known. A name does not prove what
a variable means, so the vectors must be compared with those of the original model before the weights are used.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.encoder.bert.graph import BertConfig
from transforms.encoder.hub import saved_string

Tensors = Mapping[str, "np.ndarray[Any, Any]"]

# Source: official/nlp/modeling in tensorflow/models. The values are Hugging Face's names for the same variables.
EXPORTER_NAMES = {
    r"word_embeddings/embeddings": "embeddings.word_embeddings.weight",
    r"position_embeddings?/embeddings": "embeddings.position_embeddings.weight",
    r"type_embeddings/embeddings": "embeddings.token_type_embeddings.weight",
    r"embeddings/layer_norm/(\w+)": "embeddings.LayerNorm.{}",
    r"layer_(\d+)/self_attention/(query|key|value)/(\w+)": "encoder.layer.{}.attention.self.{}.{}",
    r"layer_(\d+)/self_attention/attention_output/(\w+)": "encoder.layer.{}.attention.output.dense.{}",
    r"layer_(\d+)/self_attention_layer_norm/(\w+)": "encoder.layer.{}.attention.output.LayerNorm.{}",
    r"layer_(\d+)/intermediate/(\w+)": "encoder.layer.{}.intermediate.dense.{}",
    r"layer_(\d+)/output/(\w+)": "encoder.layer.{}.output.dense.{}",
    r"layer_(\d+)/output_layer_norm/(\w+)": "encoder.layer.{}.output.LayerNorm.{}",
    r"pooler_transform/(\w+)": "pooler.dense.{}",
}
# transformers' TFBertModel calls layers layer_._0, and the program that BERT was published with layer_0.
_LAYER = r"encoder/layer_(?:\._)?(\d+)"
TRANSFORMERS_NAMES = {
    r"embeddings/(word|position|token_type)_embeddings(?:/\w+)?": "embeddings.{}_embeddings.weight",
    r"embeddings/LayerNorm/(\w+)": "embeddings.LayerNorm.{}",
    rf"{_LAYER}/attention/self/(query|key|value)/(\w+)": "encoder.layer.{}.attention.self.{}.{}",
    rf"{_LAYER}/attention/output/(dense|LayerNorm)/(\w+)": "encoder.layer.{}.attention.output.{}.{}",
    rf"{_LAYER}/intermediate/dense/(\w+)": "encoder.layer.{}.intermediate.dense.{}",
    rf"{_LAYER}/output/(dense|LayerNorm)/(\w+)": "encoder.layer.{}.output.{}.{}",
    r"pooler/dense/(\w+)": "pooler.dense.{}",
}
_OWN_NAMES = {
    r"words": "embeddings.word_embeddings.weight",
    r"positions": "embeddings.position_embeddings.weight",
    r"types": "embeddings.token_type_embeddings.weight",
    r"distances": "distances",
    r"embeddings/(\w+)": "embeddings.LayerNorm.{}",
    r"layer_(\d+)/qkv/(\w+)": "encoder.layer.{}.attention.self.qkv.{}",
    r"layer_(\d+)/attention/(\w+)": "encoder.layer.{}.attention.output.dense.{}",
    r"layer_(\d+)/attention_norm/(\w+)": "encoder.layer.{}.attention.output.LayerNorm.{}",
    r"layer_(\d+)/inner/(\w+)": "encoder.layer.{}.intermediate.dense.{}",
    r"layer_(\d+)/outer/(\w+)": "encoder.layer.{}.output.dense.{}",
    r"layer_(\d+)/norm/(\w+)": "encoder.layer.{}.output.LayerNorm.{}",
    r"pooler/(\w+)": "pooler.dense.{}",
}
_PARTS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}


def lift(module: Any) -> tuple[Tensors, BertConfig]:
    """The tensors and the configuration of a loaded SavedModel, in the form that `graph.Bert` takes.

    Raises:
        ValueError: if its variables are not those of a BERT encoder.
    """
    variables = _variables(module)
    config = config_of(module)
    if config is not None:
        tensors = renamed({name: variable.numpy() for name, variable in variables.items()}, _OWN_NAMES)
        for name in [name for name in tensors if ".self.qkv." in name]:
            parts = np.split(tensors.pop(name), 3)
            tensors |= {name.replace("qkv", part): parts[i] for i, part in enumerate(("query", "key", "value"))}
    else:
        queries = [v for name, v in variables.items() if name.endswith("layer_0/self_attention/query/kernel")]
        if len(queries) != 1:
            raise ValueError("its variables are not those of tf-models' BERT")
        config = BertConfig(heads=int(queries[0].shape[1]), activation=_activation(module))
        tensors = renamed({name: variable.numpy() for name, variable in variables.items()}, EXPORTER_NAMES)
    return tensors, config


def config_of(module: Any) -> BertConfig | None:
    """The configuration stored in a SavedModel of `graph.Bert`, or None for any other SavedModel."""
    described = getattr(module, "described", None)
    return None if described is None else _parsed(described.numpy())


def config_at(handle: str) -> BertConfig | None:
    """As `config_of`, of the SavedModel at `handle`, without loading it.

    Raises:
        ValueError: if its weights cannot be read.
    """
    described = saved_string(handle, "described")
    return None if described is None else _parsed(described)


def _parsed(described: bytes) -> BertConfig:
    return BertConfig(**json.loads(described))


def _variables(module: Any) -> dict[str, tf.Variable]:
    # A Keras model lists its variables; those of a plain module are the variables that its function reads.
    listed = getattr(module, "variables", ())
    if not listed and callable(module):
        functions = getattr(module.__call__, "concrete_functions", ())
        listed = [variable for function in functions for variable in function.variables]
    return {variable.name.split(":")[0]: variable for variable in listed}


def renamed(arrays: Tensors, names: Mapping[str, str]) -> dict[str, "np.ndarray[Any, Any]"]:
    """The arrays of variables under Hugging Face's names, with kernels as [out, in]."""
    found = {}
    for name, array in arrays.items():
        for pattern, target in names.items():
            if match := re.fullmatch(f"(?:.*/)?{pattern}", name):
                if name.endswith("/kernel"):
                    # On the side that is split by heads, the heads are a separate axis.
                    rows = -1 if "attention_output" in name else array.shape[0]
                    array = array.reshape(rows, array.shape[-1] if rows == -1 else -1).T
                elif name.endswith("/bias"):
                    array = array.reshape(-1)
                found[target.format(*(_PARTS.get(group, group) for group in match.groups()))] = array
                break
    return found


def _activation(module: Any) -> str:
    """The activation, inferred from the operations in the module's graph."""
    definition = module.__call__.concrete_functions[0].graph.as_graph_def()
    return activation_of(node.op for function in definition.library.function for node in function.node_def)


def activation_of(operations: Iterable[str]) -> str:
    """The activation, inferred from the operations in a graph."""
    found = set(operations)
    if found & {"Erf", "Erfc"}:
        return "gelu"
    return "relu" if "Relu" in found else "gelu_new"
