"""Exports an encoder as a pair of preprocessor and SavedModel with the optimized graph.

The source is a checkpoint in Hugging Face layout or another pair of SavedModels.
"""

import dataclasses
import os
import pathlib
from typing import Any

import tensorflow as tf

from transforms.encoder.bert.checkpoint import read_json, usage_of, using
from transforms.encoder.bert.config import BertConfig
from transforms.encoder.bert.graph import ACTIVATIONS, Bert
from transforms.encoder.bert.kinds import KINDS, as_bert, settings_of
from transforms.encoder.bert.tokenizer import tokenizer_of
from transforms.encoder.catalogue import POOLINGS, Model, write_card
from transforms.encoder.engines import Probes, plain_graph
from transforms.encoder.hub import resolve
from transforms.encoder.options import EncoderOptions
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.recipe import recipe_of
from transforms.encoder.saved_model import BertVectors


def export_checkpoint(source: pathlib.Path, target: pathlib.Path, licence: str = "") -> Model:
    """Writes the checkpoint in `source` as `target`/preprocessor, `target`/encoder and a card.

    Args:
        source: a directory with config.json, *.safetensors, tokenizer.json (or BERT's vocab.txt) and, for a checkpoint
            of sentence-transformers, the files that checkpoint.usage_of reads.
        target: the directory to create.
        licence: the SPDX identifier of the weights' license, which is written to the card.

    Raises:
        ValueError: if the checkpoint is of none of the KINDS, or lacks a file.
    """
    config = read_json(source, "config.json")
    given = config.get("model_type")
    kind = KINDS.get(str(given))
    if not kind:
        raise ValueError(f"expected model_type among {sorted(KINDS)} in {source / 'config.json'}, got {given!r}")
    usage = usage_of(source)
    tokenizer = tokenizer_of(source, kind)
    stored = _tensors(source)
    with using(source / "*.safetensors"):
        tensors = as_bert(kind, stored, config)
    with using(source / "config.json"):
        described = BertConfig(
            **settings_of(kind, config),
            pooling=usage.pooling or ("pooled_output" if "pooler.dense.weight" in tensors else "mean"),
            normalize=usage.normalize,
            document_prompt=usage.document_prompt,
            query_prompt=usage.query_prompt,
        )
    if described.activation not in ACTIVATIONS:
        raise ValueError(f"expected {kind.activation} among {sorted(ACTIVATIONS)}, got {described.activation!r}")
    with using(source / "*.safetensors"):
        encoder = Bert(tensors, described)
        rows, hidden = encoder.words.shape
        layers = len(encoder.layers)
        if config.get(kind.layers, layers) != layers:
            raise ValueError(f"it has {layers} layers, and config.json says {kind.layers}={config[kind.layers]}")
        if hidden % described.heads:
            raise ValueError(f"its {hidden} dimensions are no multiple of the {described.heads} heads in config.json")
        if rows < tokenizer.tokens:
            raise ValueError(f"it has vectors of {rows} tokens, and the vocabulary has {tokenizer.tokens}")
        # This fails if weights are of shapes that do not fit each other.
        encoder.vectors.get_concrete_function()
    tokenizer.write(target / "preprocessor")
    return _write(encoder, target, dataclasses.replace(usage, cased=tokenizer.cased, licence=licence))


def export_pair(model: Model, target: pathlib.Path, licence: str = "") -> Model:
    """Writes the BERT of `model`, a pair of SavedModels, as `target`/encoder, `target`/preprocessor and a card.

    The optimized graph is compared with the original encoder before anything is written.

    Args:
        model: the pair of SavedModels.
        target: the directory to create.
        licence: the SPDX identifier of the weights' license; by default that of `model`.

    Raises:
        ValueError: if `model` is not a pair, or its encoder is not a known kind of BERT.
    """
    if not model.preprocessor:
        raise ValueError(f"expected a pair of preprocessor and encoder, {model.name} has no preprocessor")
    recipe = recipe_of(model, EncoderOptions(model.encoder))
    vectors = BertVectors(model, recipe.pooling, recipe.normalize)
    preprocessor = Preprocessor(model.preprocessor)
    probes = Probes(preprocessor, vectors.max_seq_length or model.max_seq_length or 128)
    try:
        plain_graph(vectors, probes.alone(vectors.original), probes)
        encoder = vectors.bert()
    except ValueError as error:
        raise ValueError(f"expected {model.name} to be a known kind of BERT: {error}") from error
    _copy(resolve(model.preprocessor), str(target / "preprocessor"))
    usage = dataclasses.replace(
        model,
        licence=licence or model.licence,
        document_prompt=recipe.document_prompt,
        query_prompt=recipe.query_prompt,
    )
    return _write(encoder, target, usage)


def _copy(source: str, target: str) -> None:
    """Copies a directory from any file system that TensorFlow reads."""
    for folder, _, files in tf.io.gfile.walk(source):
        copied = os.path.join(target, os.path.relpath(folder, source))
        tf.io.gfile.makedirs(copied)
        for name in files:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(copied, name))


def _write(encoder: Bert, target: pathlib.Path, usage: Model) -> Model:
    """Saves the encoder as `target`/encoder, with a card that describes the pair, to be used as `usage` says."""
    tf.saved_model.save(encoder, str(target / "encoder"), signatures=encoder.__call__)
    hidden, positions = int(encoder.words.shape[1]), int(encoder.positions.shape[0])
    model = dataclasses.replace(
        usage,
        name=target.name,
        encoder=str(target / "encoder"),
        preprocessor=str(target / "preprocessor"),
        dimension=hidden,
        pooling=encoder.config.pooling,
        normalize=encoder.config.normalize,
        max_seq_length=min(positions, usage.max_seq_length or positions),
        dimensions=tuple(size for size in usage.dimensions if size < hidden),
        poolings=tuple(p for p in POOLINGS if encoder.pooler is not None or p != "pooled_output"),
    )
    write_card(target, model)
    return model


def _tensors(source: pathlib.Path) -> dict[str, Any]:
    """The checkpoint's tensors as float32 arrays."""
    from safetensors.tensorflow import load_file

    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise ValueError(f"expected *.safetensors in {source}, found none; convert the checkpoint's weights first")
    tensors: dict[str, Any] = {}
    for file in files:
        with using(file):
            tensors |= load_file(str(file))
    return {name: tf.cast(tensor, tf.float32).numpy() for name, tensor in tensors.items()}
