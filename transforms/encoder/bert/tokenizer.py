"""The tokenizer of a checkpoint in Hugging Face layout, as a preprocessor that a pair can have."""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text

from transforms.encoder.bert.checkpoint import read_json, using
from transforms.encoder.bert.kinds import Kind
from transforms.encoder.catalogue import TOKENIZER_FILE
from transforms.encoder.preprocessor import Preprocessor

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


def tokenizer_of(source: pathlib.Path, kind: Kind) -> TokenizerFiles:
    """The tokenizer of the checkpoint of `kind` in `source`: as a SavedModel if it is BERT's own, or else as it came.

    Raises:
        ValueError: if a file of it is missing, or asks for what cannot be done.
    """
    settings = read_json(source, "tokenizer_config.json") if (source / "tokenizer_config.json").exists() else {}
    if settings.get("truncation_side", "right") != "right":
        raise ValueError(f"expected a tokenizer that truncates on the right, {source} has one that does on the left")
    from_vocabulary = kind.has_berts_tokens and (source / "vocab.txt").exists()
    stated = read_json(source, TOKENIZER_FILE) if (source / TOKENIZER_FILE).exists() or not from_vocabulary else {}
    with using(source / TOKENIZER_FILE):
        is_berts_own = kind.has_berts_tokens and (not stated or _is_berts_own(stated))
    if not is_berts_own:
        return _of_file(source)
    said = (settings.get("do_lower_case"), (stated.get("normalizer") or {}).get("lowercase"))
    folded = bool(next((lower_case for lower_case in said if lower_case is not None), True))
    if not stated and (unknown := _unlike_bert(settings, folded)):
        raise ValueError(
            f"expected {TOKENIZER_FILE} in {source} beside a vocab.txt with {unknown} in tokenizer_config.json, it is "
            "missing; load the checkpoint with transformers' AutoTokenizer and save it"
        )
    with using(source / ("vocab.txt" if from_vocabulary else TOKENIZER_FILE)):
        if from_vocabulary:
            vocabulary = (source / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        else:
            vocabulary = sorted(stated["model"]["vocab"], key=stated["model"]["vocab"].__getitem__)
        if missing := [token for token in _NEEDED_TOKENS if token not in vocabulary]:
            raise ValueError(f"it lacks the tokens {', '.join(missing)}")

    def write(target: pathlib.Path) -> None:
        tf.saved_model.save(BertPreprocessor(vocabulary, folded), str(target))

    return TokenizerFiles(len(vocabulary), not folded, write)


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


def _of_file(source: pathlib.Path) -> TokenizerFiles:
    """A tokenizer that is run from its tokenizer.json."""
    from tokenizers import Tokenizer

    # It refuses what cannot be run.
    Preprocessor(str(source))
    tokenizer = Tokenizer.from_file(str(source / TOKENIZER_FILE))
    cased = tokenizer.normalizer is None or tokenizer.normalizer.normalize_str("A") != "a"

    def write(target: pathlib.Path) -> None:
        target.mkdir(parents=True)
        shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)

    return TokenizerFiles(tokenizer.get_vocab_size(), cased, write)
