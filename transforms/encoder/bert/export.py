"""Exports an encoder as a pair of preprocessor and SavedModel with the optimized graph.

The source is a checkpoint in Hugging Face layout or another pair of SavedModels.
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text

from transforms.encoder.bert.graph import ACTIVATIONS, Bert
from transforms.encoder.bert.kinds import KINDS, Kind, as_bert, config_of_kind
from transforms.encoder.catalogue import POOLINGS, TOKENIZER_FILE, Model, write_card
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
    """Writes the checkpoint in `source` as `target`/preprocessor, `target`/encoder and a card.

    Args:
        source: a directory with config.json, *.safetensors, tokenizer.json (or BERT's vocab.txt) and, for a checkpoint
            of sentence-transformers, modules.json with its pooling and normalize modules.
        target: the directory to create.
        licence: the SPDX identifier of the weights' license, which is written to the card.

    Raises:
        ValueError: if the checkpoint is of none of the KINDS, or lacks a file.
    """
    config = _read_json(source, "config.json")
    kind = KINDS.get(config.get("model_type"))
    if not kind:
        given = config.get("model_type")
        raise ValueError(f"expected model_type among {sorted(KINDS)} in {source / 'config.json'}, got {given!r}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError(f"expected absolute position embeddings, got {config['position_embedding_type']!r}")
    tokenizer = _tokenizer(source, kind)
    with _using(source / "*.safetensors"):
        tensors = as_bert(kind, _tensors(source), config)
    pooling, normalize = _sentence_transformers(source)
    if not pooling:
        pooling = "pooled_output" if "pooler.dense.weight" in tensors else "mean"
    with _using(source / "config.json"):
        described = config_of_kind(kind, config, pooling, normalize)
    if described.activation not in ACTIVATIONS:
        raise ValueError(f"expected {kind.activation} among {sorted(ACTIVATIONS)}, got {described.activation!r}")
    with _using(source / "*.safetensors"):
        encoder = Bert(tensors, described)
        rows, hidden = encoder.words.shape
        if hidden % described.heads:
            raise ValueError(f"its {hidden} dimensions are no multiple of the {described.heads} heads in config.json")
        if rows < tokenizer.tokens:
            raise ValueError(f"it has vectors of {rows} tokens, and the vocabulary has {tokenizer.tokens}")
        # This fails if weights are of shapes that do not fit each other.
        encoder.vectors.get_concrete_function()
    tokenizer.write(target / "preprocessor")
    return _write(encoder, target, tokenizer.cased, licence)


@contextlib.contextmanager
def _using(path: pathlib.Path) -> Iterator[None]:
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
    return _write(encoder, target, model.cased, licence or model.licence)


def _copy(source: str, target: str) -> None:
    """Copies a directory from any file system that TensorFlow reads."""
    for folder, _, files in tf.io.gfile.walk(source):
        copied = os.path.join(target, os.path.relpath(folder, source))
        tf.io.gfile.makedirs(copied)
        for name in files:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(copied, name))


def _write(encoder: Bert, target: pathlib.Path, cased: bool, licence: str) -> Model:
    """Saves the encoder as `target`/encoder, with a card that describes the pair."""
    tf.saved_model.save(encoder, str(target / "encoder"), signatures=encoder.__call__)
    model = Model(
        name=target.name,
        encoder=str(target / "encoder"),
        preprocessor=str(target / "preprocessor"),
        dimension=int(encoder.words.shape[1]),
        pooling=encoder.config.pooling,
        normalize=encoder.config.normalize,
        cased=cased,
        max_seq_length=int(encoder.positions.shape[0]),
        licence=licence,
        poolings=tuple(p for p in POOLINGS if encoder.pooler is not None or p != "pooled_output"),
    )
    write_card(target, model)
    return model


def _read_json(source: pathlib.Path, name: str, kind: type = dict) -> Any:
    path = source / name
    if not path.exists():
        raise ValueError(f"expected a checkpoint in Hugging Face layout, {path} is missing; pass its directory")
    with _using(path):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, kind):
            raise ValueError(f"it holds {type(found).__name__}")
        return found


def _tensors(source: pathlib.Path) -> dict[str, Any]:
    """The checkpoint's tensors as float32 arrays."""
    from safetensors.tensorflow import load_file

    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise ValueError(f"expected *.safetensors in {source}, found none; convert the checkpoint's weights first")
    tensors: dict[str, Any] = {}
    for file in files:
        with _using(file):
            tensors |= load_file(str(file))
    return {name: tf.cast(tensor, tf.float32).numpy() for name, tensor in tensors.items()}


class _Tokenizer(NamedTuple):
    """A checkpoint's tokenizer: the number of its tokens, whether case matters, and a function that writes it."""

    tokens: int
    cased: bool
    write: Callable[[pathlib.Path], None]


def _tokenizer(source: pathlib.Path, kind: Kind) -> _Tokenizer:
    """The checkpoint's tokenizer: as a SavedModel if it is BERT's own, or else in the file that it comes in."""
    settings = _read_json(source, "tokenizer_config.json") if _has(source, "tokenizer_config.json") else {}
    if settings.get("truncation_side", "right") != "right":
        raise ValueError(f"expected a tokenizer that truncates on the right, {source} has one that does on the left")
    from_vocabulary = kind.has_berts_tokens and _has(source, "vocab.txt")
    stated = _read_json(source, TOKENIZER_FILE) if _has(source, TOKENIZER_FILE) or not from_vocabulary else {}
    with _using(source / TOKENIZER_FILE):
        is_berts_own = kind.has_berts_tokens and (not stated or _is_berts_own(stated))
    if not is_berts_own:
        return _of_file(source)
    lower_case = settings.get("do_lower_case", (stated.get("normalizer") or {}).get("lowercase"))
    folded = True if lower_case is None else bool(lower_case)
    if not stated and (unknown := _unlike_bert(settings, folded)):
        raise ValueError(
            f"expected {TOKENIZER_FILE} in {source} beside a vocab.txt with {unknown} in tokenizer_config.json, it is "
            "missing; load the checkpoint with transformers' AutoTokenizer and save it"
        )
    with _using(source / ("vocab.txt" if from_vocabulary else TOKENIZER_FILE)):
        if from_vocabulary:
            vocabulary = (source / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        else:
            vocabulary = sorted(stated["model"]["vocab"], key=stated["model"]["vocab"].__getitem__)
        if missing := [token for token in _NEEDED_TOKENS if token not in vocabulary]:
            raise ValueError(f"it lacks the tokens {', '.join(missing)}")

    def write(target: pathlib.Path) -> None:
        tf.saved_model.save(BertPreprocessor(vocabulary, folded), str(target))

    return _Tokenizer(len(vocabulary), not folded, write)


def _is_berts_own(stated: dict[str, Any]) -> bool:
    """Whether BertPreprocessor does all that a tokenizer.json says."""
    normalizer = stated.get("normalizer") or {}
    said = {
        "WordPiece": stated["model"].get("type", "WordPiece"),
        "[UNK]": stated["model"].get("unk_token", "[UNK]"),
        "##": stated["model"].get("continuing_subword_prefix", "##"),
        "BertNormalizer": normalizer.get("type", "BertNormalizer"),
        "BertPreTokenizer": (stated.get("pre_tokenizer") or {}).get("type", "BertPreTokenizer"),
    }
    settings = {"strip_accents": normalizer.get("strip_accents")}
    settings["tokenize_chinese_chars"] = normalizer.get("handle_chinese_chars", True)
    folded = normalizer.get("lowercase", True)
    return (
        all(ours == theirs for ours, theirs in said.items())
        and normalizer.get("clean_text", True)
        and not _unlike_bert(settings, folded)
    )


# The names under which transformers has BERT's tokenizer.
_BERTS_TOKENIZERS = ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast")


def _unlike_bert(settings: dict[str, Any], folded: bool) -> str:
    """The key of a tokenizer_config.json that asks for what BertPreprocessor does not do; "" if none does."""
    if settings.get("tokenizer_class", _BERTS_TOKENIZERS[0]) not in (None, *_BERTS_TOKENIZERS):
        return f"tokenizer_class={settings['tokenizer_class']}"
    if settings.get("strip_accents") not in (None, folded):
        return "strip_accents"
    return "" if settings.get("tokenize_chinese_chars", True) else "tokenize_chinese_chars"


def _of_file(source: pathlib.Path) -> _Tokenizer:
    """A tokenizer that is run from its tokenizer.json."""
    from tokenizers import Tokenizer

    # It refuses what cannot be run.
    Preprocessor(str(source))
    tokenizer = Tokenizer.from_file(str(source / TOKENIZER_FILE))
    cased = tokenizer.normalizer is None or tokenizer.normalizer.normalize_str("A") != "a"

    def write(target: pathlib.Path) -> None:
        target.mkdir(parents=True)
        shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)

    return _Tokenizer(tokenizer.get_vocab_size(), cased, write)


def _has(source: pathlib.Path, name: str) -> bool:
    return (source / name).exists()


def _sentence_transformers(source: pathlib.Path) -> tuple[str, bool]:
    """The pooling ("" if unspecified) and whether to normalize, from the modules of sentence-transformers."""
    if not _has(source, "modules.json"):
        return "", False
    pooling, normalize = "", False
    with _using(source / "modules.json"):
        modules = [
            (module["type"].rsplit(".", 1)[-1], module["path"]) for module in _read_json(source, "modules.json", list)
        ]
    for kind, path in modules:
        if kind == "Pooling":
            pooling = _pooling(_read_json(source, f"{path}/config.json"))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise ValueError(f"expected Transformer, Pooling and Normalize modules in {source}, got {kind}")
    return pooling, normalize


def _pooling(config: dict[str, Any]) -> str:
    # Newer versions of sentence-transformers name the mode; older ones have a flag for each.
    supported = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "mean": "mean", "cls": "cls"}
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    chosen += [config["pooling_mode"]] if "pooling_mode" in config else []
    if len(chosen) != 1 or chosen[0] not in supported:
        raise ValueError(f"expected one of {sorted(supported)} in the pooling module, got {chosen}")
    return supported[chosen[0]]
