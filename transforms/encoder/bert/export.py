"""Exports a BERT as a pair of SavedModels with TF-Hub's text interface and the optimized graph.

The source is a checkpoint in Hugging Face layout or another pair of SavedModels.
"""

import dataclasses
import os
import pathlib
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from transforms.encoder.bert.checkpoint import read_json, usage_of, using
from transforms.encoder.bert.graph import ACTIVATIONS, Bert, BertConfig
from transforms.encoder.catalogue import POOLINGS, Model, write_card
from transforms.encoder.engines import Probes, plain_graph
from transforms.encoder.hub import resolve
from transforms.encoder.options import EncoderOptions
from transforms.encoder.preprocessor import Preprocessor
from transforms.encoder.recipe import recipe_of
from transforms.encoder.saved_model import BertVectors

_SPECIAL_TOKENS = {
    "start_of_sequence_id": "[CLS]",
    "end_of_segment_id": "[SEP]",
    "padding_id": "[PAD]",
    "mask_id": "[MASK]",
}
_NEEDED_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class BertPreprocessor(tf.Module):
    """TF-Hub's preprocessor for BERT, from texts to token ids, mask and type ids, each int32 [batch, seq_length].

    `.tokenize` returns a RaggedTensor [batch, (tokens)], which `.bert_pack_inputs([tokens], seq_length=n)` packs.
    Source of the interface: https://www.tensorflow.org/hub/common_saved_model_apis/text.
    """

    def __init__(self, vocabulary: list[str], lower_case: bool, seq_length: int = 128) -> None:
        super().__init__(name="preprocessor")
        index = {token: number for number, token in enumerate(vocabulary)}
        special = {key: index[token] for key, token in _SPECIAL_TOKENS.items() if token in index}
        self.tokenize = _Tokenize(vocabulary, lower_case, special)
        self.bert_pack_inputs = _Pack(special, seq_length)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="sentences")], autograph=False)
    def __call__(self, sentences: tf.Tensor) -> dict[str, tf.Tensor]:
        """The encoder's inputs for `sentences`, string [batch], padded to the default length."""
        packed: dict[str, tf.Tensor] = self.bert_pack_inputs([self.tokenize(sentences)])
        return packed


class _Tokenize(tf.Module):
    """Converts texts to WordPiece tokens exactly as Hugging Face's BERT tokenizer does.

    The text is normalized here, and TensorFlow Text's tokenizer only splits it. Its own lower-casing would also fold
    compatibility characters ("…" to "..."), which the checkpoint was not trained on.
    """

    def __init__(self, vocabulary: list[str], lower_case: bool, special: dict[str, int]) -> None:
        super().__init__(name="tokenize")
        self._lower_case = lower_case
        self._tokenizer = tf_text.FastBertTokenizer(
            vocab=vocabulary,
            token_out_type=tf.int32,
            unknown_token="[UNK]",
            lower_case_nfd_strip_accents=False,
        )
        self.get_special_tokens_dict = tf.function(
            lambda: {key: tf.constant(value, tf.int32) for key, value in special.items()}, input_signature=[]
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="sentences")], autograph=False)
    def __call__(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        text = tf.strings.regex_replace(sentences, r"[\t\n\r\p{Z}]", " ")
        text = tf.strings.regex_replace(text, r"[\p{C}\x{FFFD}]", "")
        if self._lower_case:
            text = tf_text.normalize_utf8(text, "NFD")
            text = tf.strings.regex_replace(text, r"\p{Mn}", "")
            # Hugging Face's tokenizer lower-cases letter by letter, so it never gives a final sigma.
            text = tf.strings.regex_replace(text, "\u03a3", "\u03c3")
            text = tf.strings.lower(text, encoding="utf-8")
        return self._tokenizer.tokenize(text)


class _Pack(tf.Module):
    def __init__(self, special: dict[str, int], seq_length: int) -> None:
        super().__init__(name="bert_pack_inputs")
        self._special = special
        self._seq_length = seq_length
        for segments in (1, 2):
            spec = [tf.RaggedTensorSpec([None, None], tf.int32) for _ in range(segments)]
            self.__call__.get_concrete_function(spec, seq_length=tf.TensorSpec([], tf.int32))
            self.__call__.get_concrete_function(spec)

    @tf.function(autograph=False)
    def __call__(self, inputs: list[tf.RaggedTensor], seq_length: Any = None) -> dict[str, tf.Tensor]:
        if seq_length is None:
            seq_length = self._seq_length
        trimmed = tf_text.RoundRobinTrimmer(seq_length - len(inputs) - 1).trim(inputs)
        ids, types = tf_text.combine_segments(
            trimmed, self._special["start_of_sequence_id"], self._special["end_of_segment_id"]
        )
        word_ids, mask = tf_text.pad_model_inputs(ids, seq_length, pad_value=self._special["padding_id"])
        type_ids, _ = tf_text.pad_model_inputs(types, seq_length)
        return {"input_word_ids": word_ids, "input_mask": mask, "input_type_ids": type_ids}


def export_checkpoint(source: pathlib.Path, target: pathlib.Path, licence: str = "") -> Model:
    """Writes the BERT checkpoint in `source` as `target`/preprocessor, `target`/encoder and a card.

    Args:
        source: a directory with config.json, *.safetensors, vocab.txt or tokenizer.json and, for a checkpoint of
            sentence-transformers, the files that checkpoint.usage_of reads.
        target: the directory to create.
        licence: the SPDX identifier of the weights' license, which is written to the card.

    Raises:
        ValueError: if the checkpoint is not a BERT, or lacks a file.
    """
    config = read_json(source, "config.json")
    if config.get("model_type") != "bert":
        raise ValueError(f"expected model_type 'bert' in {source / 'config.json'}, got {config.get('model_type')!r}")
    activation = config.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise ValueError(f"expected hidden_act among {sorted(ACTIVATIONS)}, got {activation!r}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError(f"expected absolute position embeddings, got {config['position_embedding_type']!r}")
    vocabulary, lower_case = _vocabulary(source)
    tensors = _tensors(source)
    usage = usage_of(source)
    with using(source / "config.json"):
        described = BertConfig(
            heads=config["num_attention_heads"],
            activation=activation,
            epsilon=config.get("layer_norm_eps", 1e-12),
            pooling=usage.pooling or ("pooled_output" if "pooler.dense.weight" in tensors else "mean"),
            normalize=usage.normalize,
            document_prompt=usage.document_prompt,
            query_prompt=usage.query_prompt,
        )
    with using(source / "*.safetensors"):
        encoder = Bert(tensors, described)
        rows, hidden = encoder.words.shape
        if hidden % described.heads:
            raise ValueError(f"its {hidden} dimensions are no multiple of the {described.heads} heads in config.json")
        if rows < len(vocabulary):
            raise ValueError(f"it has vectors of {rows} tokens, and the vocabulary has {len(vocabulary)}")
        # This fails if weights are of shapes that do not fit each other.
        encoder.vectors.get_concrete_function()
    tf.saved_model.save(BertPreprocessor(vocabulary, lower_case), str(target / "preprocessor"))
    return _write(encoder, target, dataclasses.replace(usage, cased=not lower_case, licence=licence))


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
    """The checkpoint's tensors as float32 arrays, without the "bert." prefix of checkpoints that have a task head."""
    from safetensors.tensorflow import load_file

    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise ValueError(f"expected *.safetensors in {source}, found none; convert the checkpoint's weights first")
    tensors: dict[str, Any] = {}
    for file in files:
        with using(file):
            tensors |= load_file(str(file))
    found = {name.removeprefix("bert."): tf.cast(tensor, tf.float32).numpy() for name, tensor in tensors.items()}
    # Checkpoints converted from TensorFlow name the weights of a layer norm gamma and beta.
    return {name.replace(".gamma", ".weight").replace(".beta", ".bias"): array for name, array in found.items()}


def _vocabulary(source: pathlib.Path) -> tuple[list[str], bool]:
    """The WordPiece vocabulary in the order of the ids, and whether text is lower-cased."""
    tokenizer_config = read_json(source, "tokenizer_config.json") if _has(source, "tokenizer_config.json") else {}
    lower_case = tokenizer_config.get("do_lower_case")
    path = source / ("vocab.txt" if _has(source, "vocab.txt") else "tokenizer.json")
    tokenizer = {} if path.name == "vocab.txt" else read_json(source, path.name)
    with using(path):
        if path.name == "vocab.txt":
            vocabulary = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        else:
            kind = tokenizer["model"].get("type", "WordPiece")
            if kind != "WordPiece":
                raise ValueError(f"it is of a {kind} tokenizer, not of WordPiece")
            vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
            if lower_case is None:
                lower_case = (tokenizer.get("normalizer") or {}).get("lowercase")
        if missing := [token for token in _NEEDED_TOKENS if token not in vocabulary]:
            raise ValueError(f"it lacks the tokens {', '.join(missing)}")
    return vocabulary, True if lower_case is None else bool(lower_case)


def _has(source: pathlib.Path, name: str) -> bool:
    return (source / name).exists()
