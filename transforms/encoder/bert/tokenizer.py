"""The tokenizer of a checkpoint in Hugging Face layout, as a preprocessor that a pair can have."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text

from transforms.encoder.bert.checkpoint import read_checked, read_json, transformer_of, using
from transforms.encoder.bert.kinds import Kind
from transforms.encoder.catalogue import TOKENIZER_FILE
from transforms.encoder.preprocessor import hugging_face_tokenizer

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


class TokenizerFiles(NamedTuple):
    """A checkpoint's tokenizer.

    Attributes:
        tokens: the number of its tokens.
        cased: whether it distinguishes upper and lower case.
        write: a function that writes it as a preprocessor, given the directory to make.
    """

    tokens: int
    cased: bool
    write: Callable[[pathlib.Path], None]


# What transformers' classes for BERT's tokenizer take from tokenizer_config.json instead of from the normalizer in
# tokenizer.json: its key there, and its default.
_NORMALIZER = {
    "do_lower_case": ("lowercase", True),
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}
_BERT_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer")
# The parts of a tokenizer.json of BERT's, with what they say by default.
_BERTS_OWN: dict[str, dict[str, Any]] = {
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    },
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}


def tokenizer_of(source: pathlib.Path, kind: Kind) -> TokenizerFiles:
    """The tokenizer of the checkpoint of `kind` in `source`: as a SavedModel if it is BERT's own, or else as a file.

    It is what transformers makes of tokenizer.json and tokenizer_config.json, in lower case if sentence-transformers'
    do_lower_case says so.

    Raises:
        ValueError: if a file of it is missing, or asks for what cannot be done.
    """
    has_file = (source / TOKENIZER_FILE).exists()
    is_listed = not has_file and kind.has_berts_tokens and (source / "vocab.txt").exists()
    stated = {"model": {"vocab": _vocabulary(source)}} if is_listed else read_json(source, TOKENIZER_FILE)
    settings = read_checked(source, "tokenizer_config.json")
    chosen = (settings.get("tokenizer_class") or kind.tokenizer).removesuffix("Fast")
    with using(source / TOKENIZER_FILE):
        _configure(stated, chosen, settings, bool(transformer_of(source)[1].get("do_lower_case")))
        is_berts_own = kind.has_berts_tokens and _is_berts_own(stated)
    if is_listed and not (is_berts_own and chosen in _BERT_CLASSES):
        raise ValueError(
            f"expected {TOKENIZER_FILE} in {source} beside a vocab.txt with tokenizer_class={chosen} and these "
            "settings in tokenizer_config.json, it is missing; load the checkpoint with transformers' AutoTokenizer "
            "and save it"
        )
    if not is_berts_own:
        return _as_file(source, stated)
    with using(source / ("vocab.txt" if is_listed else TOKENIZER_FILE)):
        return _as_saved_model(stated)


def _vocabulary(source: pathlib.Path) -> dict[str, int]:
    path = source / "vocab.txt"
    with using(path):
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return {token: number for number, token in enumerate(lines)}


def _configure(stated: dict[str, Any], chosen: str, settings: dict[str, Any], lower_case: bool) -> None:
    """Puts into a tokenizer.json what transformers' class `chosen` and sentence-transformers change in it."""
    normalizer = stated.get("normalizer", {}) or {}
    if chosen in _BERT_CLASSES and normalizer.get("type", "BertNormalizer") == "BertNormalizer":
        given = {key: settings.get(name, default) for name, (key, default) in _NORMALIZER.items()}
        stated["normalizer"] = normalizer = {"type": "BertNormalizer", "clean_text": True, **given}
    if chosen == "RobertaTokenizer" and stated["pre_tokenizer"]["type"] == "ByteLevel":
        stated["pre_tokenizer"]["add_prefix_space"] = settings.get("add_prefix_space", False)
    if lower_case and not normalizer.get("lowercase"):
        others = normalizer.get("normalizers", [normalizer] if normalizer else [])
        stated["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *others]}


def _is_berts_own(stated: dict[str, Any]) -> bool:
    """Whether BertPreprocessor does all that a tokenizer.json says."""
    parts = {part: stated.get(part, said) or {"type": None} for part, said in _BERTS_OWN.items()}
    normalizer = parts["normalizer"]
    return (
        all(parts[part].get(key, value) == value for part, said in _BERTS_OWN.items() for key, value in said.items())
        and normalizer.get("strip_accents") in (None, normalizer.get("lowercase", True))
        and {token["content"] for token in stated.get("added_tokens", ())} <= {*_SPECIAL_TOKENS.values(), "[UNK]"}
    )


def _as_saved_model(stated: dict[str, Any]) -> TokenizerFiles:
    """BERT's own tokenizer as a BertPreprocessor."""
    numbers: dict[str, int] = stated["model"]["vocab"]
    if missing := [token for token in _NEEDED_TOKENS if token not in numbers]:
        raise ValueError(f"it lacks the tokens {', '.join(missing)}")
    # An id without a token, or whose token has another one, is never read.
    vocabulary = [f"[unused {number}]" for number in range(max(numbers.values()) + 1)]
    for token, number in numbers.items():
        vocabulary[number] = token
    folded = stated.get("normalizer", {}).get("lowercase", True)

    def write(target: pathlib.Path) -> None:
        tf.saved_model.save(BertPreprocessor(vocabulary, folded), str(target))

    return TokenizerFiles(len(vocabulary), not folded, write)


def _as_file(source: pathlib.Path, stated: dict[str, Any]) -> TokenizerFiles:
    """A tokenizer that is run from what its tokenizer.json says."""
    path = source / TOKENIZER_FILE
    written = path.read_text(encoding="utf-8")
    if json.loads(written) != stated:
        written = json.dumps(stated, ensure_ascii=False)
    tokenizer = hugging_face_tokenizer(written, str(path))
    cased = tokenizer.normalizer is None or tokenizer.normalizer.normalize_str("A") != "a"

    def write(target: pathlib.Path) -> None:
        target.mkdir(parents=True)
        (target / TOKENIZER_FILE).write_text(written, encoding="utf-8")

    return TokenizerFiles(tokenizer.get_vocab_size(), cased, write)
